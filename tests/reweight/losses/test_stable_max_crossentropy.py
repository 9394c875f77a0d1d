"""StableMaxCrossentropy: official numbers, and a loss where the softmax has none left."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

LOGITS = np.array([[2.0, -1.0, 0.5], [-3.0, 0.0, 30.0]], "float32")
LABELS = np.array([0, 1])


def reference(y_true, y_pred, label_smoothing=0.0):
    scores = np.where(y_pred >= 0, y_pred + 1.0, 1.0 / (1.0 - np.minimum(y_pred, 0.0)))
    p = scores / scores.sum(axis=-1, keepdims=True)
    classes = y_pred.shape[-1]
    labels = np.eye(classes)[np.asarray(y_true).astype(int)]
    labels = (1.0 - label_smoothing) * labels + label_smoothing / classes
    return -(labels * np.log(p)).sum(axis=-1)


def test_official_numbers():
    loss = kr.losses.StableMaxCrossentropy(reduction=None)
    found = ops.convert_to_numpy(loss(LABELS, LOGITS))
    np.testing.assert_allclose(found, [0.510826, 3.473518], atol=5e-7)


def test_one_hot_labels_are_the_same():
    loss = kr.losses.StableMaxCrossentropy(0.1)
    one_hot = np.eye(3, dtype="float32")[LABELS]
    np.testing.assert_allclose(float(loss(one_hot, LOGITS)), float(loss(LABELS, LOGITS)), rtol=1e-6)


def test_it_still_has_a_slope_where_the_softmax_collapsed():
    logits, labels = 1000.0 * np.eye(3, dtype="float32"), np.arange(3)
    softmax = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    ours = kr.losses.StableMaxCrossentropy()
    assert float(softmax(labels, logits)) == 0.0
    assert not gradient(lambda value: softmax(labels, value), logits).any()
    assert float(ours(labels, logits)) > 1e-3
    assert (np.abs(gradient(lambda value: ours(labels, value), logits)) > 1e-7).all()


def test_the_slope_at_zero_is_that_of_the_formula():
    loss = kr.losses.StableMaxCrossentropy(reduction="sum")
    found = gradient(lambda value: loss(LABELS, value), np.zeros((2, 3), "float32"))
    expected = np.full((2, 3), 1.0 / 3.0) - np.eye(3)[LABELS]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_ids_outside_the_classes_have_no_loss():
    loss = kr.losses.StableMaxCrossentropy(0.2, reduction=None)
    found = ops.convert_to_numpy(loss(np.array([-100, 1]), LOGITS))
    assert found[0] == 0.0 and found[1] > 0.0


@pytest.mark.parametrize("scale", [1.0, 1e6])
def test_double_precision_where_the_backend_has_it(scale):
    loss = kr.losses.StableMaxCrossentropy(reduction=None, dtype="float64")
    logits = scale * LOGITS.astype("float64")
    digits = 1e-14
    if keras.backend.backend() == "jax":
        import jax

        with jax.enable_x64(True):
            found = ops.convert_to_numpy(loss.call(LABELS, jax.numpy.asarray(logits)))
    else:
        found = ops.convert_to_numpy(loss(LABELS, logits))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, reference(LABELS, logits), rtol=digits)
