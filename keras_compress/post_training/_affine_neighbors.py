"""The two levels around every weight."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.post_training._grid_rows import expanded


class Neighbors(NamedTuple):
    """Levels and codes below and above, how far apart, and where between them a weight lies.

    Outside the range both are the same level, `gap` and `share` are 0.
    """

    lower_codes: np.ndarray
    upper_codes: np.ndarray
    lower: np.ndarray
    gap: np.ndarray
    share: np.ndarray


def affine_neighbors(grid: AffineGrid, weight: np.ndarray) -> Neighbors:
    """Those of every entry of `weight` `(rows, outputs)` on an evenly spaced grid."""
    scale, zero_point = (np.asarray(array, "float64") for array in expanded(grid, weight.shape))
    highest = 2**grid.bits - 1
    position = weight / scale + zero_point
    below = np.floor(position)
    lower = np.clip(below, 0, highest)
    upper = np.clip(below + 1, 0, highest)
    gap = (upper - lower) * scale
    share = np.where(gap > 0.0, position - below, 0.0)
    return Neighbors(lower, upper, (lower - zero_point) * scale, gap, share)


def table_neighbors(levels: np.ndarray, weight: np.ndarray) -> Neighbors:
    """Those of `weight` `(rows, outputs)` among `levels` `(k, outputs)` in ascending order."""
    highest = len(levels) - 1
    below = np.full(weight.shape, -1)
    for level in levels:
        below += weight >= level
    lower, upper = np.clip(below, 0, highest), np.clip(below + 1, 0, highest)
    bottom, top = (np.take_along_axis(levels, codes, 0) for codes in (lower, upper))
    gap = top - bottom
    share = np.clip((weight - bottom) / np.where(gap > 0.0, gap, 1.0), 0.0, 1.0)
    return Neighbors(lower, upper, bottom, gap, np.where(gap > 0.0, share, 0.0))
