"""align_weights: what is scaled, and when nothing is."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.editing.test_alignment_ratio import head
from tests.reweight.editing.test_alignment_ratio import reference as reference_ratio
from tests.reweight.signatures import models

KERNEL = [[3.0, 0.0, 8.0], [0.0, 5.0, 0.0]]


def reference_delta(model, old, new=None, only_shrink=True):
    """The change of the last kernel."""
    ratio = reference_ratio(model, old, new)
    if ratio >= 1 and only_shrink:
        ratio = 1.0
    kernel = np.asarray(ops.convert_to_numpy(model.weights[-2]), "float64")
    rest = [index for index in range(kernel.shape[-1]) if index not in [int(i) for i in old]]
    delta = np.zeros_like(kernel)
    columns = rest if new is None else [int(i) for i in new]
    delta[:, columns] = (ratio - 1.0) * kernel[:, columns]
    return delta


def patched_kernel(model, patch):
    with patch.patched(model):
        return ops.convert_to_numpy(model.weights[0]).copy()


def test_new_columns_get_the_mean_length_of_old_ones():
    model = head(KERNEL)
    before = kr.weight_digest(model)
    found = patched_kernel(model, kr.editing.align_weights(model, range(2)))
    np.testing.assert_allclose(found, [[3.0, 0.0, 4.0], [0.0, 5.0, 0.0]], rtol=1e-6)
    assert kr.weight_digest(model) == before


def test_longer_columns_only_if_asked():
    model = head(KERNEL)
    patch = kr.editing.align_weights(model, [2], new=[0, 1])
    np.testing.assert_array_equal(patched_kernel(model, patch), KERNEL)
    patch = kr.editing.align_weights(model, [2], new=[0, 1], only_shrink=False)
    expected = [[6.0, 0.0, 8.0], [0.0, 10.0, 0.0]]
    np.testing.assert_allclose(patched_kernel(model, patch), expected, rtol=1e-6)


def test_classes_of_neither_kind_stay():
    model = head(KERNEL)
    patch = kr.editing.align_weights(model, [0], new=[2])
    np.testing.assert_allclose(
        patched_kernel(model, patch), [[3.0, 0.0, 3.0], [0.0, 5.0, 0.0]], rtol=1e-6
    )


def test_aligning_twice_is_aligning_once():
    model = head(KERNEL)
    patcher = kr.SignaturePatcher(model)
    patcher.apply(kr.editing.align_weights(model, [0, 1]))
    patcher.commit()
    assert kr.editing.alignment_ratio(model, [0, 1]) == pytest.approx(1.0, abs=1e-6)
    again = kr.editing.align_weights(model, [0, 1], only_shrink=False)
    np.testing.assert_allclose(again.delta(0), 0.0, atol=1e-5)


def test_predictions_within_the_new_classes_keep_their_order():
    model = models.dense(units=6)
    x = np.random.default_rng(4).normal(size=(20, 3)).astype("float32")
    layer = model.get_layer("second")
    patch = kr.editing.align_weights(model, [0, 1], layer=layer, only_shrink=False)
    assert patch.paths == ("second/kernel",)
    logits = ops.convert_to_numpy(model.get_layer("first")(x))
    kernel = ops.convert_to_numpy(layer.kernel).astype("float64")
    aligned = kernel + patch.delta("second/kernel")
    np.testing.assert_array_equal(
        (logits @ kernel)[:, 2:].argmax(1), (logits @ aligned)[:, 2:].argmax(1)
    )
    assert ((logits @ kernel).argmax(1) != (logits @ aligned).argmax(1)).any()
