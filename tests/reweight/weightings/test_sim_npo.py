"""SimNPO as a weighting: weights that make ascent the gradient of the loss."""

import numpy as np
from keras import ops

import keras_reweight as kr


def reference(losses, beta=2.5, delta=0.0):
    return 2.0 / (1.0 + np.exp(beta * (np.asarray(losses, "float64") - delta)))


def test_weights_are_the_slope_of_the_loss():
    mean, beta, delta, h = np.array([0.1, 0.5, 2.0]), 4.5, 0.5, 1e-5

    def loss(x):
        return 2.0 / beta * np.log1p(np.exp(-beta * (x - delta)))

    slope = (loss(mean + h) - loss(mean - h)) / (2.0 * h)
    found = ops.convert_to_numpy(kr.weightings.SimNPO(beta, delta)(mean.astype("float32")))
    np.testing.assert_allclose(found, -slope, rtol=1e-5)
