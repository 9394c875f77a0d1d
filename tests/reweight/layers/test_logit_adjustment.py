"""LogitAdjustment against its formula."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.long_tail import COUNTS, LABELS, LOGITS


def reference(inputs, class_counts, tau=1.0, epsilon=1e-12, from_logits=True):
    prior = np.asarray(class_counts, "float64") / np.sum(class_counts)
    logits = inputs if from_logits else np.log(np.maximum(inputs, 1e-7))
    return logits - np.log(prior**tau + epsilon)


@pytest.mark.parametrize(
    ("tau", "expected"), [(0.5, [0, 1, 2, 2]), (1.0, [0, 2, 2, 2]), (2.0, [2, 2, 2, 2])]
)
def test_predictions_of_the_official_code(tau, expected):
    found = kr.layers.LogitAdjustment(COUNTS, tau=tau)(LOGITS.astype("float32"))
    found = ops.convert_to_numpy(found)
    assert found.argmax(-1).tolist() == expected
    np.testing.assert_allclose(found, reference(LOGITS, COUNTS, tau), rtol=1e-5)


def test_probabilities_give_the_same_differences():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    layer = kr.layers.LogitAdjustment(COUNTS, from_logits=False)
    found = ops.convert_to_numpy(layer(p.astype("float32")))
    expected = reference(LOGITS, COUNTS)
    np.testing.assert_allclose(
        found - found[:, :1], expected - expected[:, :1], rtol=1e-4, atol=1e-5
    )


def test_it_undoes_the_adjusted_loss():
    adjusted = kr.layers.LogitAdjustment(COUNTS)(LOGITS.astype("float32"))
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(LABELS, LOGITS)
    found = kr.losses.BalancedSoftmaxLoss(COUNTS)(LABELS, adjusted)
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(plain), rtol=1e-5)


def test_other_classes_than_the_counts():
    with pytest.raises(ValueError, match="class_counts"):
        kr.layers.LogitAdjustment([3, 1])(LOGITS)
