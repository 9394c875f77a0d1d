"""Fixed ranges in Keras' int8 layers."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.export import StaticQuantizer

X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")


@pytest.mark.parametrize("axis", [-1, (1, 2), [2]])
def test_codes_and_the_reciprocal_of_the_step(axis):
    codes, scale = StaticQuantizer(0.1, low=-8, high=7)(X, axis=axis)
    expected = np.rint(np.clip(X / np.float32(0.1), -8, 7))
    np.testing.assert_array_equal(ops.convert_to_numpy(codes), expected)
    assert keras.backend.standardize_dtype(codes.dtype) == "int8"
    shape = [3, 1 if axis == (1, 2) else 4, 1]
    np.testing.assert_allclose(ops.convert_to_numpy(scale), np.full(shape, 10.0), rtol=1e-6)


def test_a_dense_layer_computes_with_the_range():
    layer = keras.layers.Dense(2)
    layer.build((None, 6))
    kernel = np.random.default_rng(1).integers(-127, 128, (6, 2)).astype("float32")
    kernel[0] = 127.0
    layer.kernel.assign(kernel)
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=StaticQuantizer(0.25))
    layer.quantize("int8", config=config)
    expected = np.clip(np.rint(X / 0.25), -128, 127) * 0.25 @ kernel
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-5, atol=1e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="scale"):
        StaticQuantizer(0.0)
    with pytest.raises(ValueError, match="high"):
        StaticQuantizer(1.0, high=255)
    with pytest.raises(ValueError, match="low"):
        StaticQuantizer(1.0, low=-129)
