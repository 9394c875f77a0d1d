"""One bit: values, limits of the gradient, factors of groups."""

import numpy as np
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import gradient
from tests.compress.quantization.common import KERNEL, normal, numpy


def reference_binary(inputs):
    mean = np.abs(inputs).mean(axis=0, keepdims=True)
    return np.where(inputs >= 0, mean, -mean)


def reference_boolean(inputs):
    return np.where(inputs >= 0, 1.0, -1.0)


def reference_gradient(inputs, limit, cotangent):
    return cotangent * (np.abs(inputs) <= limit)


def test_the_factor_has_the_least_squared_error():
    found = numpy(kc.quantizers.BinaryQuantizer()(KERNEL)).astype("float64")
    error = np.sum((found - KERNEL) ** 2, axis=0)
    for factor in (0.9, 1.1):
        assert np.all(np.sum((factor * found - KERNEL) ** 2, axis=0) > error)


def test_groups_and_one_factor():
    x = normal(5, 2)
    found = numpy(kc.quantizers.BinaryQuantizer(group_size=3)(x))
    np.testing.assert_allclose(found[:3], reference_binary(x[:3]), rtol=1e-6)
    np.testing.assert_allclose(found[3:], reference_binary(x[3:]), rtol=1e-6)
    whole = np.abs(numpy(kc.quantizers.BinaryQuantizer(axis=None)(x)))
    np.testing.assert_allclose(whole, np.abs(x).mean(), rtol=1e-6)


def test_zero_is_positive_and_one_bit_is_stored():
    x = np.array([-2.0, -0.0, 0.0, 3.0], "float32")
    quantizer = kc.quantizers.BooleanQuantizer()
    np.testing.assert_array_equal(numpy(quantizer(x)), [-1.0, 1.0, 1.0, 1.0])
    assert quantizer.bits == 1 and quantizer.stored(x, None).code_bytes == 1


def test_gradients_stop_at_the_limit():
    x = np.array([-2.0, -1.0, 0.5, 1.0, 1.5], "float32")
    for limit, expected in ((1.0, [0, 1, 1, 1, 0]), (None, [1, 1, 1, 1, 1])):
        for kind in (kc.quantizers.BinaryQuantizer, kc.quantizers.BooleanQuantizer):
            quantizer = kind(limit=limit)
            found = gradient(lambda value, one=quantizer: ops.sum(one(value)), x[:, None])
            np.testing.assert_array_equal(found[:, 0], expected)


def test_nan_is_not_hidden():
    found = numpy(kc.quantizers.BooleanQuantizer()(np.array([np.nan, 1.0], "float32")))
    assert np.isnan(found[0]) and found[1] == 1.0
