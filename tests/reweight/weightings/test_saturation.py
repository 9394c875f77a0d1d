"""Saturation (WGA, SimSat): the official numbers."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.test_sat_imp import LOSSES


def reference(losses, beta=1.0):
    return np.exp(-np.asarray(losses, "float64")) ** beta


def test_official_vector():
    found = ops.convert_to_numpy(kr.weightings.Saturation(1.0)(LOSSES))
    np.testing.assert_allclose(found, [0.9512295, 0.7408182, 0.3678795, 0.0497871], atol=1e-7)
    np.testing.assert_allclose(-np.mean(found * LOSSES), -0.1967619, atol=5e-8)


def test_exponent_zero_is_plain_ascent():
    found = ops.convert_to_numpy(kr.weightings.Saturation(0.0)(LOSSES))
    np.testing.assert_array_equal(found, np.ones(4))
