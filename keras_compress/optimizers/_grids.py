"""Grids that weights are put on after a step, nearest or with noise."""

from __future__ import annotations

from typing import Any

from keras import ops

# The bits of a float32 that hold its exponent: what is left is the power of two below.
_EXPONENT = 0x7F800000
_E4M3_LARGEST, _E4M3_SMALLEST_NORMAL, _E4M3_MANTISSA = 448.0, 2.0**-6, 3


class IntegerGrid:
    """`2**bits - 1` equidistant values for each row, from minus to plus its largest entry."""

    def __init__(self, bits: int):
        self.largest_code = 2 ** (bits - 1) - 1

    def __call__(self, values, noise: Any = None):
        step = _row_scale(values, self.largest_code)
        codes = _rounded(values / step, noise)
        return ops.clip(codes, -self.largest_code, self.largest_code) * step


class Float8Grid:
    """The values of the e4m3 format, scaled so that the largest entry of a row is 448."""

    def __call__(self, values, noise: Any = None):
        scale = _row_scale(values, _E4M3_LARGEST)
        scaled = values / scale
        bits = ops.view(ops.abs(ops.cast(scaled, "float32")), "int32")
        power = ops.view(ops.bitwise_and(bits, _EXPONENT), "float32")
        step = ops.maximum(power, _E4M3_SMALLEST_NORMAL) / 2.0**_E4M3_MANTISSA
        step = ops.cast(step, scaled.dtype)
        rounded = _rounded(scaled / step, noise) * step
        return ops.clip(rounded, -_E4M3_LARGEST, _E4M3_LARGEST) * scale


def _rounded(values, noise):
    """Nearest integers, or the two neighbors with probabilities that keep the mean."""
    return ops.round(values) if noise is None else ops.floor(values + noise)


def _row_scale(values, largest):
    """Largest absolute entry of each output channel divided by `largest`; one for zeros."""
    found = ops.max(ops.abs(values), axis=_reduced(values.shape), keepdims=True)
    return ops.where(found > 0.0, found / largest, 1.0)


def _reduced(shape):
    """All axes but the last; a last axis of one, as in a depthwise kernel, does not count."""
    rank = len(shape)
    kept = rank - 2 if rank > 2 and shape[-1] == 1 else rank - 1
    return tuple(axis for axis in range(rank) if axis != kept) if rank > 1 else (0,)
