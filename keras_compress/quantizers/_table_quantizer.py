"""Levels at any place, from a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import ops

from keras_compress.grids import TableGrid
from keras_compress.grids.grid import Grid
from keras_compress.quantizers.quantizer import Quantizer
from keras_compress.quantizers.stored_layout import StoredLayout


class TableQuantizer(Quantizer):
    """Base of quantizers with `value = scale * table[code]`.

    Subclasses define `level_table`: ascending levels, shape `(entries,)`, or `(tables, entries)`
    with a table for each scale. Codes count from zero in this order.
    """

    supports_groups = False
    #: Whether every channel has a table of its own.
    own_tables = False

    @property
    def num_levels(self) -> int:
        """Number of entries of a table."""
        return 2**self.bits

    @property
    def code_range(self) -> tuple[int, int]:
        return 0, self.num_levels - 1

    @property
    def levels(self) -> np.ndarray:
        return ops.convert_to_numpy(self.level_table("float32")).astype("float64")

    def level_table(self, dtype: str) -> Any:
        """The levels, ascending, in units of the scale."""
        raise NotImplementedError(f"{type(self).__name__} must define level_table(dtype).")

    def borders(self, dtype: str) -> Any:
        """Borders between neighboring levels; a value on the border has the lower level."""
        table = self.level_table(dtype)
        return (table[..., 1:] + table[..., :-1]) / 2.0

    def compute_scale(self, x):
        return ops.cast(1.0, x.dtype)

    def nearest_code(self, x, scale):
        borders = self.borders(x.dtype)
        return ops.cast(self._bisect(x / scale, borders), x.dtype)

    def dequantize(self, codes, scale, zero_point: Any = None):
        return self.look_up(self.level_table(scale.dtype), codes) * scale

    def look_up(self, table, codes):
        """The entries of `table` for codes of the shape of the tensor."""
        index = ops.cast(codes, "int32") + self._first_entries(self.num_levels)
        return ops.take(ops.reshape(table, (-1,)), index)

    def _first_entries(self, width):
        """Position in the flat table where the table of each channel begins."""
        if not self.own_tables:
            return 0
        shape = self.granularity.scale_shape
        return ops.convert_to_tensor(width * np.arange(np.prod(shape)).reshape(shape), "int32")

    def _bisect(self, x, borders):
        """How many borders lie below each value: one comparison for each bit of the code."""
        steps = max(1, (self.num_levels - 1).bit_length())
        missing = 2**steps - 1 - borders.shape[-1]
        # The first column is never asked for; with it, column `k` is the border below code `k`.
        widths = [(0, 0)] * (len(borders.shape) - 1) + [(1, missing)]
        borders = ops.pad(borders, widths, constant_values=float("inf"))
        flat = ops.reshape(borders, (-1,))
        first = self._first_entries(2**steps)
        codes = ops.zeros_like(x, dtype="int32")
        for step in reversed(range(steps)):
            candidate = codes + 2**step
            above = x > ops.take(flat, candidate + first)
            codes = ops.where(above, candidate, codes)
        return codes

    def stored_layout(self, shape, channel_axes):
        layout = super().stored_layout(shape, channel_axes)
        if self.own_tables and not set(self.granularity.kept) <= set(layout.channel_axes):
            # Tables belong to outputs.
            return super().stored_layout(shape, self.granularity.kept)
        return layout

    def stored_grid(self, x, layout: StoredLayout) -> Grid:
        table = ops.convert_to_numpy(self.level_table(x.dtype))
        assignment = None
        if self.own_tables:
            numbers = np.arange(len(table)).reshape(self.granularity.scale_shape)
            assignment = layout.scales(numbers).reshape(-1)
        scale = layout.scales(ops.convert_to_numpy(self.compute_scale(x)))
        size = layout.group_size
        if size is not None and layout.group_axis:
            # Groups of outputs inside an input: the grid knows those of inputs only.
            outputs = math.prod(layout.shape[axis] for axis in layout.channel_axes)
            scale, size = np.repeat(scale, size, axis=1)[:, :outputs], None
        return TableGrid(
            self.bits, table=table, assignment=assignment, scale=scale, group_size=size
        )
