"""Scales and zero points of evenly spaced grids, chosen from the weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid

#: Ways to choose a range.
CLIPS = ("min_max", "mse")

# A shrunken range is judged by this power of the error; below 2, outliers count for less.
_NORM = 2.4
_STEPS, _MAX_SHRINK = 100, 0.8


class AffineRange(NamedTuple):
    """Scale and zero point; `value = scale * (code - zero_point)`, codes from 0 to `highest`."""

    scale: np.ndarray
    zero_point: np.ndarray
    highest: int

    def codes(self, values: np.ndarray) -> np.ndarray:
        """Nearest codes of `values`, as floats."""
        return np.clip(np.rint(values / self.scale) + self.zero_point, 0, self.highest)

    def nearest(self, values: np.ndarray) -> np.ndarray:
        """`values` on the grid."""
        return self.scale * (self.codes(values) - self.zero_point)


def affine_range(
    values: np.ndarray, bits: int, *, symmetric: bool = False, clip: str = "min_max"
) -> AffineRange:
    """One scale and zero point for each column of `values` `(rows, outputs)`: arrays `(outputs,)`.

    The range is from the smallest to the largest value and always contains zero, so the zero point
    is a code; an all-zero column has the range from -1 to 1. `symmetric` makes it as wide on both
    sides of zero, with the zero point in the middle of the codes. `clip="mse"` tries 80 narrower
    ranges, down to a fifth, and keeps for each column that of the least sum of `|error|**2.4`.

    Scales are rounded to float32, the precision in which they are stored.
    """
    low = np.minimum(values.min(axis=0), 0.0)
    high = np.maximum(values.max(axis=0), 0.0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    empty = (low == 0.0) & (high == 0.0)
    low, high = np.where(empty, -1.0, low), np.where(empty, 1.0, high)
    best = _range(low, high, bits, symmetric)
    if clip == "min_max":
        return best
    errors = _error(values, best)
    for step in range(1, int(_MAX_SHRINK * _STEPS)):
        share = 1.0 - step / _STEPS
        found = _range(share * low, share * high, bits, symmetric)
        error = _error(values, found)
        better = error < errors
        errors = np.where(better, error, errors)
        best = AffineRange(
            np.where(better, found.scale, best.scale),
            np.where(better, found.zero_point, best.zero_point),
            best.highest,
        )
    return best


def affine_grid(
    matrix: np.ndarray,
    bits: int,
    *,
    group_size: int | None = None,
    group_axis: int = 0,
    symmetric: bool = False,
    clip: str = "min_max",
) -> AffineGrid:
    """The `AffineGrid` of a matrix `(rows, outputs)`: an `affine_range` for each group.

    Groups are `group_size` consecutive inputs of an output (`group_axis=0`) or outputs of an input
    (`group_axis=1`); the last one may be shorter. `None` makes one of all of them.
    """
    matrix = np.asarray(matrix, "float64")
    matrix = matrix.T if group_axis else matrix
    size = len(matrix) if group_size is None else group_size
    ranges = [
        affine_range(matrix[begin : begin + size], bits, symmetric=symmetric, clip=clip)
        for begin in range(0, len(matrix), size)
    ]
    return grid_of_ranges(ranges, bits, group_size=group_size, group_axis=group_axis)


def grid_of_ranges(
    ranges: list[AffineRange], bits: int, *, group_size: int | None = None, group_axis: int = 0
) -> AffineGrid:
    """One `AffineGrid` of the ranges of consecutive groups."""
    scale = np.stack([found.scale for found in ranges]).astype("float32")
    zero_point = np.stack([found.zero_point for found in ranges]).astype("float32")
    if group_axis:
        scale, zero_point = scale.T, zero_point.T
    return AffineGrid(
        bits, scale=scale, zero_point=zero_point, group_size=group_size, group_axis=group_axis
    )


def _range(low, high, bits, symmetric):
    highest = 2**bits - 1
    scale = ((high - low) / highest).astype("float32").astype("float64")
    # A range may be so narrow that its step is no float32 number.
    scale = np.maximum(scale, np.finfo("float32").tiny)
    zero_point = np.full_like(scale, 2 ** (bits - 1)) if symmetric else np.rint(-low / scale)
    return AffineRange(scale, np.clip(zero_point, 0, highest), highest)


def _error(values, found):
    return (np.abs(found.nearest(values) - values) ** _NORM).sum(axis=0)
