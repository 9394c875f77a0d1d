"""What the files of `save_sparse` and `load_sparse` have in common: the encodings of a tensor.

A value is zero when all its bits are: negative zeros and NaNs of any payload are values like
others. Positions count in C order. `gaps` stores, for each value, how many zeros lie before it, as
codes of `bits` bits; the highest code stands for as many zeros as its number says and no value, so
that rare long gaps do not make all codes long. No pattern has an encoding of its own: two zeros in
every four take a bit a weight in `bitmask` and could take three quarters of one at best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.grids.bit_packing import pack_codes, packed_length, unpack_codes

KIND = "keras_compress.sparse_model"
VERSION = 1
CODE_BITS = range(2, 9)
#: What the name and place of one more array take in a file.
ARRAY_OVERHEAD = 64


@dataclass(frozen=True)
class Encoding:
    """The way to store a tensor that takes least, and how many bytes that is."""

    codec: str
    num_bytes: int
    bits: int = 0
    num_codes: int = 0

    def fields(self) -> dict[str, Any]:
        """What the record of the tensor says about it."""
        if self.codec != "gaps":
            return {"codec": self.codec}
        return {"codec": "gaps", "bits": self.bits, "num_codes": self.num_codes}


def choose_encoding(flat: np.ndarray) -> Encoding:
    """For the bits of a tensor, a vector of unsigned integers."""
    gaps = _gaps(flat)
    if not gaps.size:
        return Encoding("zeros", 0)
    values = gaps.size * flat.itemsize
    choices = [
        Encoding("dense", flat.nbytes),
        Encoding("bitmask", values + packed_length(flat.size, 1)),
    ]
    for bits in CODE_BITS:
        num_codes = gaps.size + int((gaps // (2**bits - 1)).sum())
        num_bytes = values + packed_length(num_codes, bits)
        choices.append(Encoding("gaps", num_bytes, bits, num_codes))
    return min(choices, key=lambda one: one.num_bytes + ARRAY_OVERHEAD * (one.codec != "dense"))


def encode(flat: np.ndarray, encoding: Encoding) -> dict[str, np.ndarray]:
    """The arrays of a tensor by their part: `values`, and where these are."""
    if encoding.codec == "zeros":
        return {}
    if encoding.codec == "dense":
        return {"values": flat}
    kept = flat != 0
    if encoding.codec == "bitmask":
        return {"mask": np.packbits(kept, bitorder="little"), "values": flat[kept]}
    gaps, highest = _gaps(flat), 2**encoding.bits - 1
    codes = np.full(encoding.num_codes, highest, "uint8")
    codes[np.cumsum(gaps // highest + 1) - 1] = gaps % highest
    return {"codes": pack_codes(codes, encoding.bits), "values": flat[kept]}


def mask_positions(mask: np.ndarray, size: int) -> np.ndarray:
    """Positions of the values of a `bitmask`, which must be of `size` bits."""
    if mask.dtype != np.uint8 or mask.shape != (packed_length(size, 1),):
        raise ValueError(f"a mask of {mask.dtype}, shape {mask.shape}, is not of {size} bits.")
    positions = np.flatnonzero(np.unpackbits(mask, bitorder="little"))
    if positions.size and positions[-1] >= size:
        raise ValueError(f"the mask has values behind the last of {size}.")
    return positions


def gap_positions(codes: np.ndarray, bits: int, count: int, size: int) -> np.ndarray:
    """Positions of the values of `gaps`, which must all be below `size`."""
    if codes.dtype != np.uint8 or codes.shape != (packed_length(count, bits),):
        raise ValueError(
            f"{codes.dtype} codes of shape {codes.shape} are not {count} of {bits} bits."
        )
    steps = unpack_codes(codes, bits, count).astype("int64")
    is_value = steps != 2**bits - 1
    positions = np.cumsum(steps + is_value)[is_value] - 1
    if positions.size and positions[-1] >= size:
        raise ValueError(f"the codes have a value at {positions[-1]}, the weight ends at {size}.")
    return positions


def _gaps(flat):
    return np.diff(np.flatnonzero(flat), prepend=-1) - 1
