"""alignment_ratio: the column norms and the classes they are taken of."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.signatures import models


def reference(model, old, new=None):
    """For the last kernel of a model."""
    kernel = [np.asarray(keras.ops.convert_to_numpy(w)) for w in model.weights if w.ndim >= 2][-1]
    old = [int(index) for index in old]
    rest = [index for index in range(kernel.shape[-1]) if index not in old]
    new = rest if new is None else [int(index) for index in new]
    columns = kernel.astype("float64").reshape(-1, kernel.shape[-1])
    norms = np.sqrt((columns**2).sum(0))
    return norms[old].mean() / norms[new].mean()


def head(kernel):
    model = keras.Sequential(
        [keras.Input((len(kernel),)), models.Dense(len(kernel[0]), use_bias=False, name="head")]
    )
    model.get_layer("head").kernel.assign(kernel)
    return model


def test_the_worked_example():
    model = head([[3.0, 0.0, 8.0], [0.0, 5.0, 0.0]])
    assert kr.editing.alignment_ratio(model, [0, 1]) == 0.5
    assert kr.editing.alignment_ratio(model, [0], new=np.array([1])) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("kernel", "old"),
    [([[1.0, 2.0]], []), ([[1.0, 2.0]], [0, 1]), ([[1.0, 0.0]], [0]), ([[0.0, 0.0]], [0])],
)
def test_nothing_to_align(kernel, old):
    assert kr.editing.alignment_ratio(head(kernel), old) == 1.0


def test_convolutions_as_classifier():
    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, models.Conv2D(3, 1, name="head")(inputs))
    models.randomized(model, 3)
    assert kr.editing.alignment_ratio(model, [0]) == pytest.approx(reference(model, [0]))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"old": [0, 0]}, "twice"),
        ({"old": [0, 3]}, "3 classes"),
        ({"old": [0], "new": [0, 1]}, "share"),
        ({"layer": "missing"}, "layer"),
    ],
)
def test_refusals(changes, match):
    with pytest.raises(ValueError, match=match):
        kr.editing.alignment_ratio(head([[1.0, 2.0, 3.0]]), **{"old": [0], **changes})


def test_layers_that_are_no_plain_classifier():
    norm = keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization(name="norm")])
    with pytest.raises(ValueError, match="0 kernels"):
        kr.editing.alignment_ratio(norm, [0])
    companded = keras.Sequential([keras.Input((3,)), kr.layers.CompandedDense(2)])
    with pytest.raises(ValueError, match="fold_kernels"):
        kr.editing.alignment_ratio(companded, [0])
