"""NPO as a weighting: weights that make ascent the gradient of the loss."""

import numpy as np
from keras import ops

import keras_reweight as kr


def reference(losses, beta=0.1):
    return 2.0 / (1.0 + np.exp(beta * np.asarray(losses, "float64")))


def test_weights_are_the_slope_of_the_loss():
    rise, beta, h = np.array([-3.0, 0.0, 1.0, 4.0]), 0.7, 1e-5

    def loss(d):
        return 2.0 / beta * np.log1p(np.exp(-beta * d))

    slope = (loss(rise + h) - loss(rise - h)) / (2.0 * h)
    found = ops.convert_to_numpy(kr.weightings.NPO(beta)(rise.astype("float32")))
    np.testing.assert_allclose(found, -slope, rtol=1e-5)


def test_an_unchanged_likelihood_has_weight_one():
    assert ops.convert_to_numpy(kr.weightings.NPO(0.3)(np.zeros(2, "float32"))).tolist() == [1, 1]
