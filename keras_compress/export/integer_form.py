"""A stored matrix as integers and scales, which is what layers and runtimes compute with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.power_grid import PowerGrid
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.grids.table_grid import TableGrid

#: Integers a level may be a multiple of: those of signed 8 bits.
_HIGHEST = 127
_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class IntegerForm:
    """`value = scale * (code - zero_point)` with integer codes and zero points.

    `codes` are int16 of shape `(rows, outputs)`; `scale` and `zero_point` have a row for every
    `group[0]` rows and a column for every `group[1]` outputs of them.
    """

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    group: tuple[int, int]

    def expanded(self, array: np.ndarray) -> np.ndarray:
        """`scale` or `zero_point` for every code."""
        rows, outputs = self.codes.shape
        array = np.repeat(np.repeat(array, self.group[0], axis=0), self.group[1], axis=1)
        return array[:rows, :outputs]

    def values(self) -> np.ndarray:
        """The values of the matrix, float32."""
        codes = (self.codes - self.expanded(self.zero_point)).astype("float32")
        return codes * self.expanded(self.scale)

    def fits(self, bits: int) -> bool:
        """Whether codes and zero points can be signed integers of `bits` bits."""
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        return all(
            not array.size or low <= array.min() <= array.max() <= high
            for array in (self.codes, self.zero_point)
        )

    def centered(self) -> IntegerForm:
        """The same values with zero points of 0."""
        codes = self.codes - self.expanded(self.zero_point)
        return IntegerForm(codes, self.scale, np.zeros_like(self.zero_point), self.group)


def integer_form(matrix: QuantizedMatrix) -> IntegerForm | str:
    """The integers of what the grid of `matrix` decodes, or why there are none."""
    grid = matrix.grid
    if isinstance(grid, AffineGrid):
        return _of_affine(grid, matrix.codes)
    if isinstance(grid, TableGrid):
        return _of_table(grid, matrix.codes)
    if isinstance(grid, PowerGrid):
        return _of_power(grid, matrix.codes)
    return f"a grid of kind {grid.kind!r} has no integers"


def outside_the_grid(matrix: QuantizedMatrix) -> str | None:
    """What a matrix has besides its grid, which integers and scales cannot say."""
    if matrix.signs is not None:
        return "its inputs are rotated"
    if matrix.outliers is not None and len(matrix.outliers.positions):
        return "it has outliers of 16 bits"
    if matrix.input_scale is not None and not np.all(np.asarray(matrix.input_scale) == 1.0):
        return "its inputs have scales of their own"
    return None


def _of_affine(grid, codes):
    rows, outputs = codes.shape
    scale = _two_dimensional(grid.scale)
    zero_point = _two_dimensional(grid.zero_point).astype("float64")
    group = [_repeats(scale, zero_point, axis, size) for axis, size in enumerate(codes.shape)]
    if grid.group_size is not None and group[grid.group_axis] == 1:
        group[grid.group_axis] = grid.group_size
    shape = [-(-rows // group[0]), -(-outputs // group[1])]
    scale, zero_point = (np.broadcast_to(array, shape) for array in (scale, zero_point))
    doubled = 1
    if np.any(zero_point % 1.0):
        # A zero in the middle between two codes: twice as many levels, of which every other is
        # used, have one of their own.
        doubled = 2
        if np.any((2.0 * zero_point) % 1.0):
            return "its zero points are no integers"
    return IntegerForm(
        doubled * codes.astype("int16"),
        np.array(scale) / np.float32(doubled),
        np.rint(doubled * zero_point).astype("int16"),
        (group[0], group[1]),
    )


def _of_table(grid, codes):
    tables = grid.table if grid.table.ndim == 2 else grid.table[None]
    found = [_multiples(table) for table in tables]
    if any(one is None for one in found):
        return "its levels are no multiples of one step"
    members = np.zeros(codes.shape[1], "int64") if grid.assignment is None else grid.assignment
    integers = np.stack([one[0] for one in found]).astype("int16")
    units = np.array([one[1] for one in found], "float32")
    scaled = integers[members[None, :], codes]
    return _scaled(scaled, units[members][None], grid.scale, grid.group_size)


def _of_power(grid, codes):
    if np.unique(grid.exponent).size > 1:
        return "its exponents differ"
    signed = np.arange(-grid.highest - 1, grid.highest + 1)
    if np.all(codes):
        # The grid is symmetric; its lowest code is not used.
        signed[0] = -grid.highest
    exponent = 1.0 / float(grid.exponent.reshape(-1)[0])
    found = _multiples(np.sign(signed) * np.abs(signed.astype("float64")) ** exponent)
    if found is None:
        return "its levels are no multiples of one step"
    integers, unit = found
    return _scaled(
        integers.astype("int16")[codes],
        np.full((1, 1), unit, "float32"),
        grid.scale.astype("float64") ** exponent,
    )


def _scaled(codes, unit, scale, group_size=None):
    scale = (_two_dimensional(scale) * unit).astype("float32")
    negative = np.sign(scale)
    if np.any(negative == 0):
        return "a scale is zero"
    rows, outputs = (
        size if one == 1 else 1 for one, size in zip(scale.shape, codes.shape, strict=True)
    )
    group = (group_size or 1 if scale.shape[0] > 1 else rows, outputs)
    form = IntegerForm(codes, np.abs(scale), np.zeros(scale.shape, "int16"), group)
    if np.all(negative > 0):
        return form
    return IntegerForm(
        codes * form.expanded(negative).astype("int16"), form.scale, form.zero_point, group
    )


def _multiples(levels):
    """Integers and a unit that make `levels`, or `None`."""
    levels = np.asarray(levels, "float64")
    largest = np.abs(levels).max(initial=0.0)
    if largest == 0.0:
        return np.zeros(levels.shape, "int64"), 1.0
    smallest = np.abs(levels[levels != 0.0]).min()
    for parts in range(1, 9):
        unit = smallest / parts
        integers = np.rint(levels / unit)
        if np.abs(integers).max() > _HIGHEST:
            return None
        if np.abs(integers * unit - levels).max() <= _TOLERANCE * largest:
            return integers.astype("int64"), unit
    return None


def _two_dimensional(array):
    return array if array.ndim == 2 else array.reshape(1, 1)


def _repeats(scale, zero_point, axis, size):
    """Entries of a matrix along `axis` that share a scale, if there are no groups."""
    return size if max(scale.shape[axis], zero_point.shape[axis]) == 1 else 1
