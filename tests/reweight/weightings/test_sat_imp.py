"""SatImp: the numbers of the official formula, brute force, and which tokens it picks."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

LOSSES = np.array([0.05, 0.3, 1.0, 3.0], "float32")


def reference(losses, saturation=5.0, importance=0.1):
    p = np.exp(-np.asarray(losses, "float64"))
    return p**saturation * (1.0 - p) ** importance


def value(weights):
    return ops.convert_to_numpy(weights)


@pytest.mark.parametrize(
    ("importance", "weights", "loss"),
    [
        (0.1, [0.575761, 0.194948, 0.0064359, 0.0000003], -0.0234273),
        (1.0, [0.0379825, 0.0578313, 0.0042592, 0.0000003], -0.0058771),
    ],
)
def test_official_vector(importance, weights, loss):
    found = value(kr.weightings.SatImp(5.0, importance)(LOSSES))
    np.testing.assert_allclose(found, weights, rtol=2e-6, atol=5e-8)
    np.testing.assert_allclose(-np.mean(found * LOSSES), loss, atol=5e-8)


def test_tokens_and_masks():
    losses = np.array([[0.2, 1.0, np.nan], [0.5, 2.0, 3.0]], "float32")
    mask = np.array([[True, True, False], [True, False, True]])
    found = value(kr.weightings.SatImp()(losses, mask=mask))
    expected = np.where(mask, reference(np.nan_to_num(losses)), 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_two_factors_are_saturation_and_importance():
    both = value(kr.weightings.Saturation(5.0)(LOSSES)) * value(
        kr.weightings.Importance(0.1)(LOSSES)
    )
    np.testing.assert_allclose(value(kr.weightings.SatImp(5.0, 0.1)(LOSSES)), both, rtol=1e-6)


def test_a_scheduled_exponent_needs_the_step():
    weighting = kr.weightings.SatImp(kr.schedules.PolynomialDecay(5.0, 1.0, end_step=4))
    with pytest.raises(ValueError, match="saturation"):
        weighting(LOSSES)
    found = value(weighting(LOSSES, step=4))
    np.testing.assert_allclose(found, reference(LOSSES, 1.0), rtol=1e-5)
