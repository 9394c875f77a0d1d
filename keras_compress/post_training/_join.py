"""One matrix from the parts of a kernel with groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.grid import Grid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid


def join_parts(
    parts: Sequence[QuantizedMatrix],
    shape: tuple[int, ...],
    channel_axes: tuple[int, ...],
    path: str,
) -> QuantizedMatrix:
    """The quantized variable whose outputs are those of `parts`, one after the other.

    Raises:
        ValueError: If the parts cannot be stored together: other grids than those with numbers for
            each output, rotations, input scales.
    """
    if len(parts) == 1:
        return parts[0]
    codes = np.concatenate([part.codes for part in parts], axis=1)
    if any(part.signs is not None or part.input_scale is not None for part in parts):
        raise ValueError(f"layer {path!r}: rotations and input scales do not fit grouped kernels.")
    outliers = None
    if parts[0].outliers is not None:
        index, values, begin = [], [], 0
        for part in parts:
            rows, columns = np.divmod(part.outliers.positions, part.codes.shape[1])
            index.append(rows * codes.shape[1] + begin + columns)
            values.append(part.outliers.values)
            begin += part.codes.shape[1]
        outliers = (np.concatenate(index), np.concatenate(values))
    grid = _join_grids([part.grid for part in parts], parts[0].codes.shape, path)
    return QuantizedMatrix(codes, grid, shape, channel_axes, outliers=outliers)


def _join_grids(grids: Sequence[Grid], shape: tuple[int, int], path: str) -> Grid:
    rows, outputs = shape
    first = grids[0]
    bits = max(grid.bits for grid in grids)
    if all(isinstance(grid, AffineGrid) for grid in grids):
        return _join_affine(grids, bits, rows, outputs)
    if isinstance(first, PowerGrid):
        return PowerGrid(
            bits,
            scale=_beside(grids, "scale", (_height(grids, "scale"), outputs)),
            exponent=_beside(grids, "exponent", (_height(grids, "exponent"), outputs)),
        )
    if isinstance(first, TableGrid):
        tables, assignment, count = [], [], 0
        for grid in (one for one in grids if isinstance(one, TableGrid)):
            tables.append(np.atleast_2d(grid.table))
            own = np.zeros(outputs, "int64") if grid.assignment is None else grid.assignment
            assignment.append(own + count)
            count += len(tables[-1])
        return TableGrid(
            bits,
            table=np.concatenate(tables),
            assignment=np.concatenate(assignment),
            scale=_beside(grids, "scale", (_height(grids, "scale"), outputs)),
            group_size=first.group_size,
        )
    raise ValueError(
        f"layer {path!r} has a kernel with groups, and several {type(first).__name__} cannot be "
        "stored as one. Leave the layer out with `layers`."
    )


def _join_affine(grids, bits, rows, outputs):
    if all(grid.group_axis == 0 for grid in grids):
        size = grids[0].group_size
        shape = (1 if size is None else -(-rows // size), outputs)
        scale, zero_point = (_beside(grids, name, shape) for name in ("scale", "zero_point"))
        return AffineGrid(bits, scale=scale, zero_point=zero_point, group_size=size)
    # Scales of inputs are others in every part: there is nothing left to share.
    scale, zero_point = (
        np.concatenate([_entrywise(grid, name, rows, outputs) for grid in grids], axis=1)
        for name in ("scale", "zero_point")
    )
    return AffineGrid(bits, scale=scale, zero_point=zero_point)


def _entrywise(grid, name, rows, outputs):
    array = getattr(grid, name)
    if grid.group_size is not None:
        array = np.repeat(array, grid.group_size, axis=grid.group_axis)[:rows, :outputs]
    return np.broadcast_to(array, (rows, outputs))


def _height(grids, name):
    return max(np.atleast_2d(getattr(grid, name)).shape[0] for grid in grids)


def _beside(grids, name, shape):
    """An array of every grid, at its full shape, beside each other."""
    return np.concatenate([np.broadcast_to(getattr(grid, name), shape) for grid in grids], axis=1)
