"""The levels of one row of a matrix after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.grid import Grid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.table_grid import TableGrid

#: Levels `(k, outputs)` in ascending order, and the code of each.
Levels = tuple[np.ndarray, np.ndarray]


def row_levels(grid: Grid, shape: tuple[int, int]) -> Callable[[int], Levels]:
    """A function from a row to the levels that its entries can take."""
    rows, outputs = shape
    arrays = [np.asarray(array) for array in _row_arrays(grid, shape)]
    cached: dict[bytes, Levels] = {}

    def levels(row):
        parts = [array[row : row + 1] if len(array) == rows else array for array in arrays]
        key = b"".join(part.tobytes() for part in parts)
        if key not in cached:
            cached.clear()
            cached[key] = _sorted_levels(_row_grid(grid, parts, row), outputs)
        return cached[key]

    return levels


def nearest_levels(levels: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Position of the level of each output nearest to its target `(outputs,)`."""
    borders = (levels[1:] + levels[:-1]) / 2.0
    return np.sum(targets > borders, axis=0)


def _row_arrays(grid, shape):
    """What may differ from row to row, with a row for each or one for all."""
    if isinstance(grid, AffineGrid):
        arrays = expanded(grid, shape)
        if grid.levels is not None:
            arrays.append(grid.levels[:, None])
        return [np.atleast_2d(array) for array in arrays]
    if isinstance(grid, PowerGrid):
        return [np.atleast_2d(grid.scale), np.atleast_2d(grid.exponent)]
    if isinstance(grid, TableGrid):
        return [np.atleast_2d(grid.expanded_scale(shape[0]))]
    raise ValueError(f"a {type(grid).__name__} cannot be cut into rows.")


def expanded(grid: AffineGrid, shape: tuple[int, int]) -> list[np.ndarray]:
    """Scale and zero point without groups, broadcastable to the matrix."""
    arrays = [grid.scale, grid.zero_point]
    if grid.group_size is None:
        return arrays
    return [_repeat(array, grid.group_size, grid.group_axis, shape) for array in arrays]


def _repeat(array, size, axis, shape):
    if array.ndim == 0 or array.shape[axis] == 1:
        return array
    return np.take(np.repeat(array, size, axis=axis), np.arange(shape[axis]), axis=axis)


def _row_grid(grid, parts, row):
    if isinstance(grid, AffineGrid):
        levels = None if grid.levels is None else grid.levels[row : row + 1]
        return AffineGrid(grid.bits, scale=parts[0], zero_point=parts[1], levels=levels)
    if isinstance(grid, PowerGrid):
        return PowerGrid(grid.bits, scale=parts[0], exponent=parts[1])
    return TableGrid(grid.bits, table=grid.table, assignment=grid.assignment, scale=parts[0])


def _sorted_levels(grid, outputs):
    count = 2**grid.bits
    first = 0
    if isinstance(grid, AffineGrid) and grid.levels is not None:
        count = int(grid.levels[0])
    elif isinstance(grid, TableGrid):
        count = grid.table.shape[-1]
    elif isinstance(grid, PowerGrid):
        # The lowest code would make the grid lopsided and is not used.
        first = 1
    codes = np.repeat(np.arange(first, count, dtype="uint8")[:, None], outputs, axis=1)
    values = grid.decode(codes).astype("float64")
    order = np.argsort(values, axis=0, kind="stable")
    return np.take_along_axis(values, order, 0), np.take_along_axis(codes, order, 0)
