"""DPOLoss: reference numbers, brute force, extreme margins."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

# Columns: reference of the chosen and of the rejected answer, tokens of the chosen one.
TARGETS = np.array([[-12.5, -13.0, 10.0], [-9.0, -8.0, 6.0]], "float32")
POLICY = np.array([[-12.0, -14.0], [-8.0, -7.5]], "float32")


def reference(y_true, y_pred, beta=0.1, label_smoothing=0.0):
    z = (y_pred[:, 0] - y_pred[:, 1]) - (y_true[:, 0] - y_true[:, 1])
    right = np.log1p(np.exp(-beta * z))
    wrong = np.log1p(np.exp(beta * z))
    return (1.0 - label_smoothing) * right + label_smoothing * wrong


def test_reference_numbers():
    found = ops.convert_to_numpy(kr.losses.DPOLoss(0.1, reduction=None)(TARGETS, POLICY))
    np.testing.assert_allclose(found, [0.620957, 0.668460], atol=5e-7)


def test_extreme_margins_have_finite_values_and_slopes():
    policy = np.array([[1e4, -1e4], [-1e4, 1e4]], "float32")
    loss = kr.losses.DPOLoss(1.0, reduction="sum")
    found = ops.convert_to_numpy(kr.losses.DPOLoss(1.0, reduction=None)(TARGETS, policy))
    np.testing.assert_allclose(found, [0.0, 19999.0], rtol=1e-6, atol=1e-6)
    slope = gradient(lambda value: loss(TARGETS, value), policy)
    np.testing.assert_allclose(slope, [[0.0, 0.0], [-1.0, 1.0]], atol=1e-6)


def test_weights_are_per_pair():
    found = kr.losses.DPOLoss(0.1)(TARGETS, POLICY, sample_weight=np.array([2.0, 0.0]))
    np.testing.assert_allclose(float(found), 0.620957, atol=5e-7)


def test_bad_shapes():
    with pytest.raises(ValueError, match="y_pred"):
        kr.losses.DPOLoss()(TARGETS, np.zeros((2, 3), "float32"))
    with pytest.raises(ValueError, match="y_true"):
        kr.losses.DPOLoss()(TARGETS[:, :1], POLICY)
