import keras
import numpy as np
import pytest

from keras_reweight.core.gradients.scaled import make_scaled_gradient


def reference_scaled(x, y, kernel, factor):
    """Mean squared error of `factor * x @ kernel`."""
    outputs = x @ kernel
    residual = 2 * (factor * outputs - y) / y.size
    loss = np.square(factor * outputs - y).mean()
    return loss, factor * x.T @ residual, (residual * outputs).sum()


def test_gradients_of_weights_and_factor_at_their_present_values():
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    factor = keras.Variable(1.0, dtype="float32")
    gradient = make_scaled_gradient(model, model.weights, factor, "mse")
    for value in (1.0, 0.4):
        kernel = rng.normal(size=(3, 2)).astype("float32")
        x, y = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")
        model.weights[0].assign(kernel)
        factor.assign(value)
        loss, (of_kernel, of_factor) = gradient(x, y)
        wanted = reference_scaled(*(a.astype("float64") for a in (x, y, kernel)), value)
        for found, expected in zip((loss, of_kernel, of_factor), wanted, strict=True):
            np.testing.assert_allclose(
                keras.ops.convert_to_numpy(found), expected, rtol=1e-5, atol=1e-6
            )


def test_labels_are_needed():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, kernel_initializer="zeros")])
    gradient = make_scaled_gradient(model, model.weights, keras.Variable(1.0), "mse")
    with pytest.raises(ValueError, match="`y` is None"):
        gradient(np.ones((2, 3), "float32"), None)
