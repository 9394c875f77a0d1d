"""Codes survive packing, and take the bytes they should."""

import numpy as np
import pytest

from keras_compress.grids.bit_packing import pack_codes, packed_length, unpack_codes


def reference(codes, bits):
    """Lowest bit first, one after the other, by string arithmetic."""
    digits = "".join(f"{int(code):0{bits}b}"[::-1] for code in codes)
    digits += "0" * (-len(digits) % 8)
    return [int(digits[i : i + 8][::-1], 2) for i in range(0, len(digits), 8)]


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("count", [0, 1, 7, 8, 33])
def test_round_trip(bits, count):
    codes = np.random.default_rng(bits).integers(0, 2**bits, size=count)
    packed = pack_codes(codes, bits)
    assert packed.dtype == np.uint8 and packed.tolist() == reference(codes, bits)
    assert len(packed) == packed_length(count, bits) == int(np.ceil(count * bits / 8))
    np.testing.assert_array_equal(unpack_codes(packed, bits, count), codes)


@pytest.mark.parametrize("codes", [[-1, 0], [0, 8]])
def test_codes_outside_the_range_are_refused(codes):
    with pytest.raises(ValueError, match=r"\[0, 7\]"):
        pack_codes(np.array(codes), 3)


def test_wrong_length_is_refused():
    with pytest.raises(ValueError, match="take 3 bytes"):
        unpack_codes(np.zeros(4, "uint8"), 3, 7)
