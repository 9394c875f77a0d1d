"""Codes of 2 to 8 bits, without gaps, in bytes."""

from __future__ import annotations

import numpy as np


def packed_length(count: int, bits: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return (count * bits + 7) // 8


def pack_codes(codes: np.ndarray, bits: int) -> np.ndarray:
    """Unsigned codes in C order, each lowest bit first, as one uint8 vector."""
    flat = np.asarray(codes).reshape(-1, 1)
    if flat.size and not 0 <= int(flat.min()) <= int(flat.max()) < 2**bits:
        raise ValueError(f"`codes` must be in [0, {2**bits - 1}] for {bits} bits.")
    digits = (flat.astype("uint8") >> np.arange(bits, dtype="uint8")) & 1
    return np.packbits(digits.reshape(-1), bitorder="little")


def unpack_codes(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Inverse of `pack_codes`: `count` codes as a uint8 vector."""
    if packed.shape != (packed_length(count, bits),):
        raise ValueError(
            f"{count} codes of {bits} bits take {packed_length(count, bits)} bytes, "
            f"got shape {packed.shape}."
        )
    digits = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
    return (digits << np.arange(bits, dtype="uint8")).sum(axis=1, dtype="uint8")
