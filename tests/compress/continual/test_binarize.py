"""Plain models from variational ones."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.continual.common import X, two_layers


def test_signs_and_means():
    model = two_layers()
    binary = kc.continual.binarize(model)
    assert [type(layer) for layer in binary.layers] == [keras.layers.Dense] * 3
    first, plain, bias, last = binary.get_weights()
    theta = model.get_weights()
    np.testing.assert_allclose(first, np.sign(theta[0]) / np.sqrt(6), rtol=1e-6)
    np.testing.assert_allclose(last, np.sign(theta[-3]) / np.sqrt(3), rtol=1e-6)
    np.testing.assert_array_equal(plain, model.get_layer("plain").get_weights()[0])
    means = kc.continual.binarize(model, weights="mean")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(means(X)), keras.ops.convert_to_numpy(model(X)), atol=1e-6
    )


def test_convolutions_keep_their_geometry():
    layer = kc.continual.BinaryVariationalConv2D(2, (3, 2), strides=(2, 1), padding="same")
    model = keras.Sequential([keras.Input((5, 5, 3)), layer])
    images = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype("float32")
    means = kc.continual.binarize(model, weights="mean")
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(means(images)),
        keras.ops.convert_to_numpy(model(images)),
        atol=1e-5,
    )


def test_a_model_without_such_layers_is_refused():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no BinaryVariationalDense"):
        kc.continual.binarize(model)
