"""The numbers of small floating point formats."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np


class FloatFormat(NamedTuple):
    """Bits of the code, of its exponent and mantissa, and the largest number."""

    bits: int
    exponent: int
    mantissa: int
    largest: float


#: Formats by name. `e4m3` has no infinities, `e5m2` has those of IEEE 754, which are no levels.
FORMATS = {
    "e4m3": FloatFormat(8, 4, 3, 448.0),
    "e5m2": FloatFormat(8, 5, 2, 57344.0),
    "e2m1": FloatFormat(4, 2, 1, 6.0),
}


@functools.cache
def float_levels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All finite numbers of a format, ascending, and the borders between them, in float32.

    A value above the border, but not one on it, has the upper level. Half way between two levels
    the one with an even mantissa wins, as in IEEE 754; where that is the upper one, the border is
    the largest float32 below the middle.
    """
    _, exponent, mantissa, largest = FORMATS[name]
    codes = np.arange(2 ** (exponent + mantissa))
    power, fraction = codes >> mantissa, (codes & (2**mantissa - 1)) / 2.0**mantissa
    bias = 2 ** (exponent - 1) - 1
    positive = np.where(power > 0, 1.0 + fraction, fraction) * 2.0 ** (np.maximum(power, 1) - bias)
    positive = positive[positive <= largest]
    middles = ((positive[1:] + positive[:-1]) / 2.0).astype("float32")
    # Between codes k and k + 1; the even one of them has an even mantissa.
    upper_is_even = np.arange(len(middles)) % 2 == 1
    below = np.nextafter(middles, np.float32(-np.inf))
    right = np.where(upper_is_even, below, middles)
    left = np.where(upper_is_even, -middles, np.nextafter(-middles, np.float32(-np.inf)))
    levels = np.concatenate([-positive[:0:-1], positive]).astype("float32")
    return levels, np.concatenate([left[::-1], right]).astype("float32")
