"""Importance (SimImp): the official numbers."""

import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.test_sat_imp import LOSSES


def reference(losses, beta=5.0):
    return (1.0 - np.exp(-np.asarray(losses, "float64"))) ** beta


def test_official_vector():
    found = ops.convert_to_numpy(kr.weightings.Importance(5.0)(LOSSES))
    np.testing.assert_allclose(found, [0.0000003, 0.0011696, 0.1009252, 0.7746486], atol=5e-8)


def test_small_losses_keep_their_digits():
    losses = np.array([1e-7, 3e-6], "float32")
    found = ops.convert_to_numpy(kr.weightings.Importance(1.0)(losses))
    np.testing.assert_allclose(found, -np.expm1(-losses.astype("float64")), rtol=1e-6)
