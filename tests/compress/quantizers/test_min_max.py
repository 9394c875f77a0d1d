"""MinMax: official codes, NumPy reference, groups, edges."""

import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import KERNEL, normal, numpy

# Eight inputs of the kernel of the official runs.
LARGER = np.array(
    [[np.cos(1.3 * a + 2.1 * b) * (1 + 0.5 * a) for b in range(3)] for a in range(8)], "float32"
)


def grid_of(low, high, bits, symmetric):
    """Scale, zero point and code range of a range."""
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    if symmetric:
        half = 2 ** (bits - 1)
        return np.maximum(np.maximum(-low, high) / (half - 1), 1e-8), 0.0, (-half, half - 1)
    scale = np.maximum((high - low) / (2**bits - 1), 1e-8)
    return scale, np.round(-low / scale), (0, 2**bits - 1)


def rounded(x, low, high, bits, symmetric=False):
    scale, zero, codes = grid_of(low, high, bits, symmetric)
    return (np.clip(np.round(x / scale) + zero, *codes) - zero) * scale


def slope(x, low, high, bits, symmetric=False):
    scale, zero, codes = grid_of(low, high, bits, symmetric)
    position = np.round(x / scale) + zero
    return (position >= codes[0]) & (position <= codes[1])


def reference(inputs, bits, symmetric):
    ends = inputs.min(axis=0, keepdims=True), inputs.max(axis=0, keepdims=True)
    return rounded(inputs, *ends, bits, symmetric)


def reference_gradient(inputs, bits, symmetric, cotangent):
    ends = inputs.min(axis=0, keepdims=True), inputs.max(axis=0, keepdims=True)
    return cotangent * slope(inputs, *ends, bits, symmetric)


def test_official_codes():
    quantizer = kc.quantizers.MinMaxQuantizer(bits=4)
    quantizer.initialize_from(LARGER)
    codes, scale, zero_point = (numpy(part) for part in quantizer.codes(LARGER))
    np.testing.assert_allclose(scale[0], [0.512187, 0.397146, 0.424966], rtol=2e-6)
    np.testing.assert_array_equal(zero_point[0], [8, 9, 7])
    official = [10, 8, 6, 9, 5, 10, 5, 9, 11, 4, 15, 6, 11, 13, 0, 15, 3, 5, 8, 0, 15, 0, 11, 15]
    np.testing.assert_array_equal(codes.reshape(-1), official)


def test_official_values():
    official = [
        [0.74756, -0.68228, -0.67684],
        [0.74756, -1.36456, 1.35368],
        [-1.49511, 0, 2.03052],
        [-1.49511, 2.72911, -0.67684],
        [1.49511, 1.36456, -2.70736],
        [3.73778, -2.04683, -1.35368],
    ]
    found = numpy(kc.quantizers.MinMaxQuantizer(bits=3)(KERNEL))
    np.testing.assert_allclose(found, official, atol=6e-6)


@pytest.mark.parametrize("symmetric", [False, True])
def test_groups_have_ranges_of_their_own(symmetric):
    x = normal(8, 3)
    quantizer = kc.quantizers.MinMaxQuantizer(3, symmetric=symmetric, group_size=3)
    found = numpy(quantizer(x))
    for start in (0, 3, 6):
        part = x[start : start + 3].astype("float64")
        expected = reference(part, 3, symmetric)
        np.testing.assert_allclose(found[start : start + 3], expected, rtol=1e-5, atol=1e-7)


def test_one_bit_keeps_zero_and_the_larger_end():
    x = np.array([0.0, 1.0, 3.0, -0.5], "float32")
    found = numpy(kc.quantizers.MinMaxQuantizer(1, axis=None)(x))
    np.testing.assert_array_equal(found, [0.0, 0.0, 3.5, 0.0])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_zero_is_a_level_of_values_of_one_sign(sign):
    x = sign * np.array([2.0, 3.0, 4.0], "float32")
    quantizer = kc.quantizers.MinMaxQuantizer(2, axis=None)
    np.testing.assert_allclose(numpy(quantizer(x)), sign * np.array([8 / 3, 8 / 3, 4]), rtol=1e-6)
    assert 0.0 in numpy(quantizer(np.append(x, np.float32(0.0))))


def test_zeros_stay_zero_and_nan_is_not_hidden():
    quantizer = kc.quantizers.MinMaxQuantizer(4)
    np.testing.assert_array_equal(numpy(quantizer(np.zeros((3, 2), "float32"))), 0.0)
    assert np.isnan(
        numpy(quantizer(np.array([[np.nan, 1.0], [1.0, 1.0], [0, 0]], "float32")))[0, 0]
    )


def test_a_symmetric_grid_needs_two_bits():
    with pytest.raises(ValueError, match="`bits`.* got 1"):
        kc.quantizers.MinMaxQuantizer(1, symmetric=True)
