"""MultinomialNLL: brute force, empty rows."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr


def reference(y_true, y_pred, normalize=False):
    top = y_pred.max(axis=-1, keepdims=True)
    log_p = y_pred - top - np.log(np.exp(y_pred - top).sum(axis=-1, keepdims=True))
    found = -(y_true * log_p).sum(axis=-1)
    return found / np.maximum(y_true.sum(axis=-1), 1) if normalize else found


def test_equal_logits_cost_the_logarithm_of_the_number_of_items():
    loss = kr.losses.MultinomialNLL(reduction=None)
    counts = np.array([[1.0, 0.0, 2.0], [0.0, 0.0, 0.0]], "float32")
    found = ops.convert_to_numpy(loss(counts, np.zeros((2, 3), "float32")))
    np.testing.assert_allclose(found, [3.0 * np.log(3.0), 0.0], rtol=1e-6)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.MultinomialNLL()(np.zeros(2), np.zeros((2, 3), "float32"))
