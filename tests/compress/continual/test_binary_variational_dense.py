"""BinaryVariationalDense: moments, divergence and its gradient."""

import keras
import numpy as np
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import gradient
from tests.compress.continual.common import THETA, X


def reference(inputs, theta):
    """The output in inference, linear."""
    return inputs @ np.tanh(theta) / np.sqrt(len(theta))


def reference_divergence(theta, prior):
    """Sum of the divergences of two distributions over plus and minus one each."""
    new, old = np.tanh(theta.astype("float64")), np.tanh(prior.astype("float64"))
    plus = (1 + new) / 2 * np.log((1 + new) / (1 + old))
    return np.sum(plus + (1 - new) / 2 * np.log((1 - new) / (1 - old)))


def made(theta=THETA, **options):
    layer = kc.continual.BinaryVariationalDense(4, seed=0, **options)
    layer.build((None, 6))
    layer.theta.assign(theta)
    return layer


def slope(layer, function):
    """Gradient of a scalar with respect to `theta`."""

    def at(theta):
        with keras.StatelessScope(state_mapping=[(layer.theta, theta)]):
            return function()

    return gradient(at, ops.convert_to_numpy(layer.theta.value))


def test_moments_of_the_noisy_output():
    layer = made()
    x = np.repeat(X, 4000, axis=0)
    found = ops.convert_to_numpy(layer(x, training=True)).reshape(5, 4000, 4)
    variance = X.astype("float64") ** 2 @ (1 - np.tanh(THETA.astype("float64")) ** 2) / 6
    np.testing.assert_allclose(found.mean(axis=1), reference(X, THETA), atol=0.05)
    np.testing.assert_allclose(found.var(axis=1), variance, rtol=0.15)


def test_undecided_weights_pass_only_noise():
    layer = made(np.zeros((6, 4)))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(X)), 0.0)
    x = np.repeat(X, 4000, axis=0)
    found = ops.convert_to_numpy(layer(x, training=True)).reshape(5, 4000, 4)
    np.testing.assert_allclose(
        found.var(axis=1), np.repeat((X**2).mean(axis=1)[:, None], 4, 1), rtol=0.15
    )


def test_divergence_and_its_gradient():
    layer = made(kl_weight=0.5)
    layer(X)
    assert float(ops.convert_to_numpy(sum(layer.losses))) == 0.0
    prior = 0.5 * THETA[::-1]
    layer.theta.assign(prior)
    layer.consolidate()
    layer.theta.assign(THETA)
    layer(X)
    wanted = reference_divergence(THETA, prior)
    np.testing.assert_allclose(
        float(ops.convert_to_numpy(sum(layer.losses))), 0.5 * wanted, rtol=1e-5
    )
    # The natural parameter is 2 theta, so the slope is the variance times the distance.
    wanted = (1 - np.tanh(THETA) ** 2) * (THETA - prior)
    np.testing.assert_allclose(slope(layer, layer.divergence), wanted, rtol=1e-4, atol=1e-6)


def test_certain_weights_have_a_finite_slope():
    layer = made(np.full((6, 4), 40.0))
    found = slope(layer, lambda: ops.sum(layer(X, training=True)) + layer.divergence())
    assert np.isfinite(found).all()


def test_half_precision_squares_do_not_overflow():
    layer = made(dtype="mixed_float16")
    out = layer(ops.cast(np.full((1, 6), 1000.0), "float16"), training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    assert np.isfinite(ops.convert_to_numpy(out)).all()
