"""A stored matrix whose variable has the entries of one axis in another order."""

from __future__ import annotations

import math

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.grid import Grid
from keras_compress.grids.levels_grid import LevelsGrid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid


def permuted_matrix(
    matrix: QuantizedMatrix, axis: int, index: np.ndarray
) -> QuantizedMatrix | None:
    """The matrix of `np.take(variable, index, axis)`, every code as it was.

    `None` where that cannot be said: rows of a rotated matrix, or entries of groups with a scale.
    """
    of_outputs = axis in matrix.channel_axes
    axes = [a for a in range(len(matrix.shape)) if (a in matrix.channel_axes) == of_outputs]
    sizes = [matrix.shape[a] for a in axes]
    places = np.arange(math.prod(sizes)).reshape(sizes)
    places = np.take(places, index, axis=axes.index(axis)).ravel()
    side = int(of_outputs)
    grid = _permuted_grid(matrix.grid, side, places)
    if grid is None or (matrix.signs is not None and not of_outputs):
        return None
    input_scale = matrix.input_scale
    if input_scale is not None and not of_outputs:
        input_scale = np.asarray(input_scale)[places]
    outliers = matrix.outliers
    if outliers is not None:
        where = list(np.divmod(outliers.positions, matrix.codes.shape[1]))
        where[side] = np.argsort(places)[where[side]]
        outliers = (where[0] * matrix.codes.shape[1] + where[1], outliers.values)
    return QuantizedMatrix(
        np.take(matrix.codes, places, axis=side),
        grid,
        matrix.shape,
        matrix.channel_axes,
        input_scale=input_scale,
        signs=matrix.signs,
        outliers=outliers,
    )


def _permuted_grid(grid: Grid, side: int, places: np.ndarray) -> Grid | None:
    if isinstance(grid, AffineGrid):
        arrays = [grid.scale, grid.zero_point]
        size = grid.group_size if grid.group_axis == side else None
        if any(_is_cut(array, side, size) for array in arrays):
            return None
        scale, zero_point = (_taken(array, side, places) for array in arrays)
        levels = grid.levels if side or grid.levels is None else grid.levels[places]
        return AffineGrid(
            grid.bits,
            scale=scale,
            zero_point=zero_point,
            group_size=grid.group_size,
            group_axis=grid.group_axis,
            levels=levels,
        )
    if isinstance(grid, TableGrid):
        if _is_cut(grid.scale, side, None if side else grid.group_size):
            return None
        assignment = grid.assignment
        return TableGrid(
            grid.bits,
            table=grid.table,
            assignment=assignment[places] if side and assignment is not None else assignment,
            scale=_taken(grid.scale, side, places),
            group_size=grid.group_size,
        )
    if isinstance(grid, PowerGrid):
        scale, exponent = (_taken(a, side, places) for a in (grid.scale, grid.exponent))
        return PowerGrid(grid.bits, scale=scale, exponent=exponent)
    if isinstance(grid, LevelsGrid):
        if side:
            low, high = grid.low[places], grid.high[places]
            return LevelsGrid(grid.bits, levels=grid.levels, low=low, high=high)
        return LevelsGrid(grid.bits, levels=grid.levels[places], low=grid.low, high=grid.high)
    return None


def _is_cut(array, side, size):
    """Whether entries along this side share numbers with their neighbors."""
    return size not in (None, 1) and array.ndim == 2 and array.shape[side] > 1


def _taken(array, side, places):
    if array.ndim != 2 or array.shape[side] == 1:
        return array
    return np.take(array, places, axis=side)
