"""fine_tune_only: what is trained inside, and that every flag comes back."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.signatures import models


def flags(model):
    layers = [layer.trainable for layer in model._flatten_layers()]
    return layers, [variable.trainable for variable in model.variables]


def trained(model):
    return [variable.path.split("/")[-2] for variable in model.trainable_variables]


@pytest.mark.parametrize("kind", models.KINDS)
def test_only_the_chosen_layer_is_trainable(kind):
    model = models.build(kind)
    before = flags(model)
    with kr.editing.fine_tune_only(model, "head") as inside:
        assert inside is model
        assert trained(model) == ["head", "head"]
    assert flags(model) == before


def test_a_layer_inside_a_container():
    model = models.nested()
    with kr.editing.fine_tune_only(model, "inner_second"):
        assert trained(model) == ["inner_second", "inner_second"]
    model = models.subclassed()
    with kr.editing.fine_tune_only(model, "conv"):
        assert trained(model) == ["conv", "conv"]


def test_training_moves_the_chosen_layer_and_no_statistics():
    model = models.regularized()
    before = model.get_weights()
    with kr.editing.fine_tune_only(model, "first"):
        model.compile(keras.optimizers.SGD(0.1), "mse")
        model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    changed = [
        variable.path.split("/")[-2]
        for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if not np.array_equal(old, new)
    ]
    assert set(changed) == {"first"}


def test_flags_come_back_after_an_error_and_as_they_were():
    model = models.functional()
    model.get_layer("late").trainable = False
    model.get_layer("early").bias.trainable = False
    before = flags(model)
    with pytest.raises(RuntimeError), kr.editing.fine_tune_only(model, ["early", "late_norm"]):
        assert trained(model) == ["early", "late_norm", "late_norm"]
        raise RuntimeError
    assert flags(model) == before


def test_refusals():
    model = models.functional()
    with pytest.raises(ValueError, match="layers"):
        kr.editing.fine_tune_only(model, None)
    model.get_layer("late").trainable = False
    with pytest.raises(ValueError, match="frozen"):
        kr.editing.fine_tune_only(model, "late")
