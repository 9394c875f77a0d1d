"""Encodings of a tensor: exact, the cheapest is taken, and what is not one is refused."""

import numpy as np
import pytest

from keras_compress.export.sparse_format import (
    ARRAY_OVERHEAD,
    CODE_BITS,
    Encoding,
    choose_encoding,
    encode,
    gap_positions,
    mask_positions,
)
from keras_compress.grids.bit_packing import pack_codes


def sparse(size, share, dtype="u4", seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(size) < share, 0, rng.integers(1, 200, size)).astype(dtype)


def positions(arrays, encoding, size):
    if encoding.codec == "bitmask":
        return mask_positions(arrays["mask"], size)
    return gap_positions(arrays["codes"], encoding.bits, encoding.num_codes, size)


def reference_bytes(flat, codec, bits=None):
    """Bytes of a tensor, counted code by code."""
    values = int((flat != 0).sum()) * flat.itemsize
    if codec == "dense":
        return flat.nbytes
    if codec == "bitmask":
        return values + -(-flat.size // 8)
    codes = gap = 0
    for value in flat:
        if value == 0:
            gap += 1
            continue
        codes += gap // (2**bits - 1) + 1
        gap = 0
    return values + -(-codes * bits // 8)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.98, 0.999, 1.0])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
def test_the_cheapest_encoding_is_taken_and_exact(share, dtype):
    flat = sparse(6000, share, dtype)
    encoding = choose_encoding(flat)
    arrays = encode(flat, encoding)
    assert encoding.num_bytes == sum(array.nbytes for array in arrays.values())
    if share == 1.0:
        assert encoding.codec == "zeros" and not arrays
        return
    sizes = {("dense", 0): reference_bytes(flat, "dense") - ARRAY_OVERHEAD}
    sizes["bitmask", 0] = reference_bytes(flat, "bitmask")
    sizes |= {("gaps", bits): reference_bytes(flat, "gaps", bits) for bits in CODE_BITS}
    assert sizes[encoding.codec, encoding.bits] == min(sizes.values())
    if encoding.codec == "dense":
        np.testing.assert_array_equal(arrays["values"], flat)
        return
    found = np.zeros_like(flat)
    found[positions(arrays, encoding, flat.size)] = arrays["values"]
    np.testing.assert_array_equal(found, flat)


@pytest.mark.parametrize("bits", CODE_BITS)
@pytest.mark.parametrize("gap", [0, 1, 2, 3, 254, 255, 256, 1000])
def test_gaps_around_the_highest_code(bits, gap):
    flat = np.zeros(gap + 3, "u4")
    flat[gap:] = [5, 0, 7]
    num_codes = 2 + gap // (2**bits - 1) + 1 // (2**bits - 1)
    encoding = Encoding("gaps", 0, bits, num_codes)
    np.testing.assert_array_equal(
        positions(encode(flat, encoding), encoding, flat.size), [gap, gap + 2]
    )


def test_codes_by_hand():
    # Gaps 0, 4 and 1 in codes of two bits: 0; 3 (three zeros, no value), 1; 1.
    flat = np.array([9, 0, 0, 0, 0, 8, 0, 7], "u4")
    arrays = encode(flat, Encoding("gaps", 0, 2, 4))
    np.testing.assert_array_equal(arrays["codes"], [0b01_01_11_00])
    np.testing.assert_array_equal(arrays["values"], [9, 8, 7])


def test_small_tensors_stay_dense():
    assert choose_encoding(np.array([1, 0, 0, 0, 0, 0, 0, 0], "u4")).codec == "dense"


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_positions_take_little_more_than_their_entropy(share):
    size = 40_000
    flat = sparse(size, share)
    encoding = choose_encoding(flat)
    index_bits = 8 * (encoding.num_bytes - int((flat != 0).sum()) * flat.itemsize)
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert index_bits / size < 1.15 * entropy


def test_wrong_positions_are_refused():
    with pytest.raises(ValueError, match="is not of 9 bits"):
        mask_positions(np.zeros(1, "u1"), 9)
    with pytest.raises(ValueError, match="is not of 8 bits"):
        mask_positions(np.zeros(1, "u2"), 8)
    with pytest.raises(ValueError, match="behind the last of 6"):
        mask_positions(np.array([0b1000_0000], "u1"), 6)
    with pytest.raises(ValueError, match="not 5 of 2 bits"):
        gap_positions(np.zeros(1, "u1"), 2, 5, 10)
    with pytest.raises(ValueError, match="a value at 3, the weight ends at 3"):
        gap_positions(pack_codes(np.array([1, 1]), 2), 2, 2, 3)
