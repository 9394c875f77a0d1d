"""BinaryVariationalConv2D: the moments of the dense layer, patch by patch."""

import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from tests.compress.continual.test_binary_variational_dense import reference as dense

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, 5, 5, 3)).astype("float32")


def reference(inputs, theta, strides=1):
    """The output in inference without padding, linear."""
    height, width, channels, filters = theta.shape
    rows = range(0, inputs.shape[1] - height + 1, strides)
    columns = range(0, inputs.shape[2] - width + 1, strides)
    flat = theta.reshape(-1, filters)
    outputs = [
        [dense(inputs[:, i : i + height, j : j + width].reshape(len(inputs), -1), flat)
         for j in columns]
        for i in rows
    ]  # fmt: skip
    return np.moveaxis(np.array(outputs), 2, 0)


def test_noise_has_the_variance_of_the_patch():
    layer = kc.continual.BinaryVariationalConv2D(4, 2, strides=2, padding="same", seed=0)
    layer.build((None, 4, 4, 3))
    images = IMAGES[:1, :4, :4]
    theta = ops.convert_to_numpy(layer.theta.value).reshape(12, 4)
    found = ops.convert_to_numpy(layer(np.repeat(images, 3000, axis=0), training=True))
    patch = images[:, 2:4, 2:4].reshape(1, -1)
    np.testing.assert_allclose(found[:, 1, 1].mean(axis=0), dense(patch, theta)[0], atol=0.06)
    variance = patch**2 @ (1 - np.tanh(theta) ** 2) / 12
    np.testing.assert_allclose(found[:, 1, 1].var(axis=0), variance[0], rtol=0.15)


def test_bad_sizes():
    with pytest.raises(ValueError, match="kernel_size"):
        kc.continual.BinaryVariationalConv2D(4, (1, 2, 3))
    with pytest.raises(ValueError, match="strides"):
        kc.continual.BinaryVariationalConv2D(4, 2, strides=(1, 0))
