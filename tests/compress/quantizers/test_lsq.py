"""LSQ: official vector, NumPy reference with gradients, initialization."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, gradient
from tests.compress.quantization.common import KERNEL, assert_bitwise_equal, normal, numpy


def code_range(bits, signed):
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def reference(x, scale, bits, signed=True):
    low, high = code_range(bits, signed)
    return np.round(np.clip(x / scale, low, high)) * scale


def reference_gradients(x, scale, upstream, reduced, bits, signed=True):
    """dL/dx and dL/dscale by the paper; how far rounding `x / scale` to float32 moves dL/dscale."""
    low, high = code_range(bits, signed)
    v = x / scale
    inside = (low < v) & (v < high)
    slope = np.where(v <= low, low, np.where(v >= high, high, np.round(v) - v))
    factor = 1.0 / np.sqrt(np.prod([x.shape[axis] for axis in reduced]) * high)

    def total(terms):
        return factor * np.sum(terms, axis=reduced, keepdims=np.ndim(scale) > 0)

    rounding = 2.0**-23 * total(np.abs(upstream * v * inside))
    return upstream * inside, total(upstream * slope), rounding


def gradients(quantizer, x, upstream):
    """Gradients of `sum(upstream * output)` with respect to the input and to the scale."""
    upstream = ops.convert_to_tensor(upstream)

    def of_scale(scale):
        with keras.StatelessScope([(quantizer.scale, scale)]):
            return ops.sum(quantizer(x) * upstream)

    dx = gradient(Compiled(lambda value: ops.sum(quantizer(value) * upstream)), x)
    return dx, gradient(Compiled(of_scale), numpy(quantizer.scale))


def test_official_vector():
    quantizer = kc.quantizers.LSQQuantizer(bits=3)
    quantizer.initialize_from(KERNEL)
    np.testing.assert_allclose(numpy(quantizer.scale)[0], [1.877055, 1.603879, 1.524111], rtol=2e-6)
    official = [
        [1.87706, 0, -1.87706, -1.87706, 1.87706, 3.75411],
        [0, -1.60388, 0, 1.60388, 1.60388, -1.60388],
        [0, 1.52411, 1.52411, 0, -3.04822, -1.52411],
    ]
    np.testing.assert_allclose(numpy(quantizer(KERNEL)).T, official, atol=6e-6)
    upstream = np.sin(np.arange(18.0)).reshape(3, 6).T.astype("float32")
    _, found = gradients(quantizer, KERNEL, upstream)
    np.testing.assert_allclose(found[0], [-0.147416, -0.195655, 0.094833], atol=1e-6)


@pytest.mark.parametrize(
    "bits, signed, axis, reduced",
    [
        (2, True, -1, (0, 1)),
        (3, False, None, (0, 1, 2)),
        (4, True, (0, 2), (1,)),
        (8, True, -1, (0, 1)),
        (8, False, None, (0, 1, 2)),
    ],
)
def test_matches_the_formula_with_gradients(bits, signed, axis, reduced):
    x, upstream = normal(4, 5, 3), normal(4, 5, 3, seed=1)
    quantizer = kc.quantizers.LSQQuantizer(bits, axis=axis, signed=signed)
    quantizer.initialize_from(x)
    scale = numpy(quantizer.scale).astype("float64")
    found = numpy(Compiled(quantizer)(x))
    np.testing.assert_allclose(found, reference(x, scale, bits, signed), rtol=1e-5)
    dx, dscale = gradients(quantizer, x, upstream)
    expected_dx, expected_dscale, rounding = reference_gradients(
        x.astype("float64"), scale, upstream, reduced, bits, signed
    )
    np.testing.assert_allclose(dx, expected_dx, rtol=1e-5)
    assert np.all(np.abs(dscale - expected_dscale) <= 1e-5 * np.abs(expected_dscale) + rounding)


def test_weights_on_the_bounds_have_no_gradient():
    quantizer = kc.quantizers.LSQQuantizer(3, axis=None)
    quantizer.build((6,))
    quantizer.scale.assign(0.5)
    x = np.array([-2.5, -2.0, -1.9, 1.4, 1.5, 2.0], "float32")
    dx, dscale = gradients(quantizer, x, np.ones(6, "float32"))
    np.testing.assert_allclose(dx, [0, 0, 1, 1, 0, 0], rtol=1e-6)
    slope = -4 - 4 + (-4 + 3.8) + (3 - 2.8) + 3 + 3
    np.testing.assert_allclose(dscale, slope / np.sqrt(6 * 3), rtol=1e-5)


@pytest.mark.parametrize("signed, high", [(True, 7), (False, 15)])
def test_initial_scale(signed, high):
    x = normal(6, 3)
    quantizer = kc.quantizers.LSQQuantizer(4, signed=signed)
    quantizer.initialize_from(x)
    expected = 2 * np.abs(x.astype("float64")).mean(axis=0, keepdims=True) / np.sqrt(high)
    np.testing.assert_allclose(numpy(quantizer.scale), expected, rtol=1e-6)


def test_all_zero_channels_get_the_scale_of_a_fresh_kernel():
    x = normal(6, 3)
    x[:, 1] = 0.0
    quantizer = kc.quantizers.LSQQuantizer(4)
    quantizer.initialize_from(x)
    scale = numpy(quantizer.scale)[0]
    np.testing.assert_allclose(scale[1], 2 / np.sqrt(6 * 7), rtol=1e-6)
    np.testing.assert_allclose(scale[0], 2 * np.abs(x[:, 0]).mean() / np.sqrt(7), rtol=1e-6)
    np.testing.assert_array_equal(numpy(quantizer(x))[:, 1], 0.0)


def test_a_negative_scale_is_read_as_its_absolute_value():
    quantizer = kc.quantizers.LSQQuantizer(4)
    quantizer.initialize_from(KERNEL)
    positive = numpy(quantizer(KERNEL))
    _, before = gradients(quantizer, KERNEL, np.cos(KERNEL))
    quantizer.scale.assign(-numpy(quantizer.scale.value))
    np.testing.assert_array_equal(numpy(quantizer(KERNEL)), positive)
    _, after = gradients(quantizer, KERNEL, np.cos(KERNEL))
    np.testing.assert_allclose(after, -before, rtol=1e-6)


def test_a_scale_of_zero_is_finite_and_can_recover():
    quantizer = kc.quantizers.LSQQuantizer(4, axis=None)
    quantizer.build((3,))
    quantizer.scale.assign(1e-12)
    x = np.array([0.0, 1.0, -1.0], "float32")
    assert np.all(np.isfinite(numpy(quantizer(x))))
    _, dscale = gradients(quantizer, x, np.array([1.0, 1.0, 0.0], "float32"))
    np.testing.assert_allclose(dscale, 7 / np.sqrt(3 * 7), rtol=1e-5)


def test_without_data_the_scale_suits_unit_variance():
    quantizer = kc.quantizers.LSQQuantizer(4, axis=None)
    quantizer.build((None, 8))
    x = normal(2000)
    other = kc.quantizers.LSQQuantizer(4, axis=None)
    other.initialize_from(x)
    np.testing.assert_allclose(numpy(quantizer.scale), numpy(other.scale), rtol=0.05)


def test_nan_is_not_hidden():
    quantizer = kc.quantizers.LSQQuantizer(4)
    quantizer.initialize_from(KERNEL)
    broken = KERNEL.copy()
    broken[0, 0] = np.nan
    assert np.isnan(numpy(quantizer(broken))[0, 0])
    with pytest.raises(ValueError, match="not finite"):
        quantizer.initialize_from(broken)


def test_config_file_and_copy():
    quantizer = kc.quantizers.LSQQuantizer(5, axis=(0, 1), signed=False)
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(quantizer))
    assert restored.get_config() == quantizer.get_config()
    assert (restored.bits, tuple(restored.axis), restored.signed) == (5, (0, 1), False)
    quantizer = kc.quantizers.LSQQuantizer(3)
    quantizer.initialize_from(KERNEL)
    assert_bitwise_equal(numpy(copy.deepcopy(quantizer)(KERNEL)), numpy(quantizer(KERNEL)))


def test_signed_must_be_a_boolean():
    with pytest.raises(TypeError, match="`signed`"):
        kc.quantizers.LSQQuantizer(4, signed=1)
