"""What all quantizers promise: validation, precision, codes, a grid of one's own."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, with_keras_mask
from tests.compress.quantization.common import KERNEL, assert_bitwise_equal, mask_of, normal, numpy

KINDS = [kc.quantizers.LSQQuantizer, kc.quantizers.StatsQuantizer]
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
@pytest.mark.parametrize(
    "bits, error",
    [(0, ValueError), (9, ValueError), (4.0, TypeError), (True, TypeError), ("4", TypeError)],
)
def test_bits_are_checked(kind, bits, error):
    with pytest.raises(error, match="`bits`"):
        kind(bits)


@kinds
@pytest.mark.parametrize("bits", [2, 5, 8])
def test_codes_are_integers_that_dequantize_to_the_output_bitwise(kind, bits):
    x = normal(6, 3, seed=bits) * 3
    quantizer = kind(bits)
    quantizer.initialize_from(x)
    codes, scale, zero_point = quantizer.codes(x)
    low, high = quantizer.code_range
    codes = numpy(codes)
    assert codes.dtype == np.int32 and low <= codes.min() and codes.max() <= high
    assert high - low == 2**bits - 1
    assert_bitwise_equal(numpy(quantizer.dequantize(codes, scale, zero_point)), numpy(quantizer(x)))
    in_numpy = (codes.astype("float32") - np.float32(zero_point)) * numpy(scale)
    assert_bitwise_equal(in_numpy, numpy(quantizer(x)))
    np.testing.assert_allclose(quantizer.levels, np.arange(low, high + 1) - zero_point)


@kinds
@pytest.mark.parametrize("bits", [2, 8])
def test_a_compiled_step_sees_the_same_bits_as_codes_and_files(kind, bits):
    x = normal(6, 3, seed=bits) * 3
    quantizer = kind(bits)
    quantizer.initialize_from(x)
    assert_bitwise_equal(numpy(Compiled(quantizer)(x)), numpy(quantizer(x)))


@kinds
def test_quantizing_twice_changes_nothing_for_a_fixed_scale(kind):
    quantizer = kind(3)
    quantizer.initialize_from(KERNEL)
    once = numpy(quantizer(KERNEL))
    codes, scale, zero_point = quantizer.codes(KERNEL)
    again = quantizer.nearest_code(ops.convert_to_tensor(once), scale)
    np.testing.assert_array_equal(numpy(again), numpy(codes))


@kinds
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_computes_in_float32_and_keeps_the_dtype(kind, dtype):
    quantizer = kind(4)
    x = ops.cast(KERNEL, dtype)
    quantizer.initialize_from(x)
    found = quantizer(x)
    assert keras.backend.standardize_dtype(found.dtype) == keras.backend.standardize_dtype(x.dtype)
    exact = numpy(quantizer(ops.cast(x, "float32")))
    np.testing.assert_array_equal(
        numpy(ops.cast(found, "float32")), numpy(ops.cast(ops.cast(exact, dtype), "float32"))
    )


@kinds
def test_keeps_float64_where_the_backend_has_it(kind):
    x = ops.convert_to_tensor(KERNEL.astype("float64"))
    quantizer = kind(8)
    quantizer.initialize_from(x)
    found = quantizer(x)
    assert found.dtype == x.dtype
    codes, scale, zero_point = quantizer.codes(x)
    expected = (numpy(codes) - zero_point) * numpy(scale).astype("float64")
    np.testing.assert_allclose(numpy(found), expected, rtol=1e-6)


@kinds
def test_a_mixed_policy_rounds_nothing(kind):
    expected = kind(8)
    expected.initialize_from(KERNEL)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        quantizer = kind(8)
        quantizer.initialize_from(KERNEL)
        assert_bitwise_equal(numpy(quantizer(KERNEL)), numpy(expected(KERNEL)))
    finally:
        keras.config.set_dtype_policy("float32")


@kinds
def test_symbolic_call(kind):
    symbolic = kind(4)(keras.KerasTensor((6, 3), dtype="float16"))
    assert symbolic.shape == (6, 3) and symbolic.dtype == "float16"


@kinds
def test_integers_become_float32(kind):
    found = kind(4)(np.arange(18).reshape(6, 3))
    assert keras.backend.standardize_dtype(found.dtype) == "float32"


def test_codes_need_a_built_quantizer():
    with pytest.raises(ValueError, match="not built"):
        kc.quantizers.LSQQuantizer(4).codes(KERNEL)


def test_an_axis_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="out of range"):
        kc.quantizers.LSQQuantizer(4, axis=2).build((3, 4))


def test_masks_pass():
    masked = with_keras_mask(KERNEL, np.arange(6) < 4)
    found = kc.quantizers.LSQQuantizer(4, axis=None)(masked)
    np.testing.assert_array_equal(numpy(mask_of(found)), np.arange(6) < 4)


def test_a_grid_of_ones_own():
    @keras.saving.register_keras_serializable(package="test_quantizer")
    class Power(kc.quantizers.Quantizer):
        def compute_scale(self, x):
            largest = ops.max(ops.abs(x), axis=self.granularity.reduced, keepdims=True)
            return ops.maximum(largest, 1e-8) / self.code_range[1]

        def nearest_code(self, x, scale):
            return ops.round(x / scale)

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.layers[0].kernel.assign(KERNEL)
    quantized = kc.quantize_aware(model, weights=Power(4))
    found = numpy(kc.freeze(quantized).layers[0].kernel.value)
    scale = np.abs(KERNEL).max(axis=0) / 7
    np.testing.assert_allclose(found, np.round(KERNEL / scale) * scale, rtol=1e-6)


def test_the_base_asks_for_its_two_methods():
    with pytest.raises(NotImplementedError, match="compute_scale"):
        kc.quantizers.Quantizer(4)(KERNEL)
