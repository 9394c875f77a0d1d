"""StatsQ: official vectors, NumPy reference, gradient one, edges."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, gradient
from tests.compress.quantization.common import KERNEL, normal, numpy


def reference(w, bits, reduced):
    w = w.astype("float64")
    n = 2 ** (bits - 1)
    s = np.maximum(2 * np.abs(w).mean(axis=reduced, keepdims=True), 1e-8)
    r = np.clip(np.round(np.clip(w / s, -1, 1 - 1e-6) * n - 0.5), -n, n - 1)
    return s * (r + 0.5) / n


def test_official_vector_of_the_kernel():
    official = [
        [1.21918, -0.34725, -0.32998],
        [0.40639, -1.73625, 0.98994],
        [-2.03197, -0.34725, 1.6499],
        [-2.03197, 2.43075, -0.32998],
        [1.21918, 1.73625, -2.30986],
        [2.84476, -2.43075, -0.98994],
    ]
    found = numpy(kc.quantizers.StatsQuantizer(bits=3)(KERNEL))
    np.testing.assert_allclose(found, official, atol=6e-6)


def test_official_vector_of_rows():
    rows = np.array([[0.1, -0.2, 0.9, -1.5, 0.4], [1e-3, 2e-3, -3e-3, 0.5, 0.0]], "float32")
    found = numpy(Compiled(kc.quantizers.StatsQuantizer(bits=2, axis=0))(rows))
    np.testing.assert_allclose(found[0], [0.31, -0.31, 0.93, -0.93, 0.31], rtol=1e-6)
    np.testing.assert_allclose(found[1], [0.0506, 0.0506, -0.0506, 0.1518, 0.0506], rtol=1e-6)


@pytest.mark.parametrize(
    "bits, levels",
    [
        (3, [-0.875, -0.125, -0.125, 0.125, 0.125, 0.875]),
        (4, [-0.9375, -0.1875, -0.0625, 0.0625, 0.1875, 0.9375]),
    ],
)
def test_official_levels(bits, levels):
    x = np.array([[-9.0], [-1.0], [-0.3], [0.3], [1.0], [9.0]], "float32")
    s = 2 * np.abs(x).mean()
    found = numpy(Compiled(kc.quantizers.StatsQuantizer(bits=bits))(x)) / s
    np.testing.assert_allclose(found[:, 0], levels, rtol=1e-6)


@pytest.mark.parametrize(
    "bits, axis, reduced", [(2, -1, (0, 1)), (5, None, None), (8, (1, 2), (0,))]
)
def test_matches_the_formula_with_gradient_one(bits, axis, reduced):
    x = normal(4, 5, 3) * 3
    quantizer = kc.quantizers.StatsQuantizer(bits, axis=axis)
    found = numpy(Compiled(quantizer)(x))
    np.testing.assert_allclose(found, reference(x, bits, reduced), rtol=1e-5)
    upstream = normal(4, 5, 3, seed=1)
    factor = ops.convert_to_tensor(upstream)
    found = gradient(Compiled(lambda value: ops.sum(quantizer(value) * factor)), x)
    np.testing.assert_array_equal(found, upstream)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_levels_are_mid_rise_and_the_largest_weight_has_the_last_one(bits):
    quantizer = kc.quantizers.StatsQuantizer(bits)
    n = 2 ** (bits - 1)
    np.testing.assert_allclose(quantizer.levels / n, (np.arange(2 * n) + 0.5) / n - 1)
    x = np.array([[1.0], [-1.0], [0.0], [0.0]], "float32")  # s = 1: both weights on the bound
    quantizer.initialize_from(x)
    codes, scale, zero_point = quantizer.codes(x)
    assert numpy(codes)[:2, 0].tolist() == [n - 1, -n]
    assert zero_point == -0.5
    np.testing.assert_allclose(numpy(scale), 1 / n)


def test_a_channel_of_zeros_is_safe():
    x = KERNEL.copy()
    x[:, 1] = 0.0
    found = numpy(kc.quantizers.StatsQuantizer(2)(x))
    assert np.all(np.isfinite(found)) and np.abs(found[:, 1]).max() <= 1e-8


def test_there_is_no_level_at_zero():
    x = KERNEL.copy()
    x[0] = 0.0
    assert np.all(numpy(kc.quantizers.StatsQuantizer(4)(x)) != 0.0)


def test_no_variables_and_config():
    quantizer = kc.quantizers.StatsQuantizer(2, axis=0)
    quantizer(KERNEL)
    assert quantizer.variables == []
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(quantizer))
    assert restored.get_config() == quantizer.get_config()
