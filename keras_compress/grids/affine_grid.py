"""Evenly spaced levels."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from keras_compress.grids.grid import Grid, check_bits, check_fields, float_array


class AffineGrid(Grid):
    """Evenly spaced levels: `value = scale * (code - zero_point)`.

    Use it to describe the result of a solver of your own. Scales and zero points may be shared by
    the whole matrix, belong to an output, to an input, or to groups of consecutive entries: of
    inputs inside an output (`group_axis=0`, the usual way) or of outputs inside an input
    (`group_axis=1`).

    Args:
        bits: Integer, bits of a code, 1 to 8.
        scale: Float array of a shape that broadcasts to `(groups, outputs)`, or to `(rows, groups)`
            with `group_axis=1`; without groups, to `(rows, outputs)`.
        zero_point: Float array of a shape as of `scale`, or a number: the code (not always an
            integer) that stands for zero. Defaults to `0.0`.
        group_size: Integer >= 1, entries that share a scale; the last group may be shorter. `None`
            for no groups. Defaults to `None`.
        group_axis: `0` or `1`, the axis that is cut into groups. Defaults to `0`.
        levels: Integer array of shape `(rows,)`, number of levels of each row where rows have
            different numbers, each at most `2**bits`; or `None` for `2**bits` everywhere. Defaults
            to `None`.

    Returns:
        An object with `decode(codes)` and `encode(matrix)`.

    Raises:
        ValueError: If an argument is outside its range or not finite, or a scale not positive.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    grid = kc.grids.AffineGrid(4, scale=np.array([[0.1, 0.5]]), zero_point=8)
    codes = grid.encode(np.array([[0.21, -1.0]]))
    assert codes.tolist() == [[10, 6]]
    assert np.allclose(grid.decode(codes), [[0.2, -1.0]])
    ```

    Reference:
        None; the stored form of uniform quantizers.
    """

    kind: ClassVar[str] = "affine"

    def __init__(
        self,
        bits: int,
        *,
        scale: Any,
        zero_point: Any = 0.0,
        group_size: int | None = None,
        group_axis: int = 0,
        levels: Any = None,
    ):
        self.bits = check_bits(bits)
        self.scale = float_array("scale", scale)
        if not np.all(self.scale > 0.0):
            raise ValueError("`scale` must be positive everywhere.")
        self.zero_point = float_array("zero_point", zero_point).astype(self.scale.dtype)
        if group_size is not None and (
            isinstance(group_size, bool)
            or not isinstance(group_size, (int, np.integer))
            or group_size < 1
        ):
            raise ValueError(f"`group_size` must be an integer >= 1 or None, got {group_size!r}.")
        if group_axis not in (0, 1):
            raise ValueError(f"`group_axis` must be 0 or 1, got {group_axis!r}.")
        self.group_size = None if group_size is None else int(group_size)
        self.group_axis = int(group_axis)
        self.levels = None if levels is None else np.asarray(levels)
        if self.levels is not None and (
            self.levels.dtype.kind not in "iu"
            or self.levels.ndim != 1
            or not np.all((self.levels >= 1) & (self.levels <= 2**self.bits))
        ):
            raise ValueError(f"`levels` must be integers in 1..{2**self.bits}, got {levels!r}.")

    def decode(self, codes: np.ndarray) -> np.ndarray:
        scale, zero_point = self._expanded(np.shape(codes))
        return (np.asarray(codes).astype(scale.dtype) - zero_point) * scale

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        scale, zero_point = self._expanded(np.shape(matrix))
        highest = 2**self.bits - 1 if self.levels is None else self.levels[:, None] - 1
        codes = np.rint(np.asarray(matrix, "float64") / scale + zero_point)
        return np.clip(codes, 0, highest).astype("uint8")

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"scale": self.scale}
        if self.zero_point.ndim:
            whole = np.all((self.zero_point == np.rint(self.zero_point)) & (self.zero_point >= 0))
            small = bool(whole and np.all(self.zero_point <= 255))
            arrays["zero_point"] = self.zero_point.astype("uint8") if small else self.zero_point
        if self.levels is not None:
            arrays["levels"] = self.levels.astype("uint16")
        return arrays

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"bits": self.bits, "group_axis": self.group_axis}
        if self.group_size is not None:
            settings["group_size"] = self.group_size
        if not self.zero_point.ndim:
            settings["zero_point"] = float(self.zero_point)
        return settings

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> AffineGrid:
        known = {"bits", "group_axis", "group_size", "zero_point", "scale", "levels"}
        check_fields(settings, arrays, known, {"bits", "scale", "zero_point"})
        fields: dict[str, Any] = {**settings, **arrays}
        grid = cls(**fields)
        expected = grid._grouped_shape(shape)
        for name in ("scale", "zero_point"):
            found = getattr(grid, name).shape
            if len(found) not in (0, 2) or any(
                one not in (1, size) for one, size in zip(found, expected, strict=False)
            ):
                raise ValueError(f"{name} of shape {found} does not fit a matrix of shape {shape}.")
        if grid.levels is not None and grid.levels.shape != (shape[0],):
            raise ValueError(f"levels of shape {grid.levels.shape} do not fit {shape[0]} rows.")
        return grid

    def row_bits(self, rows: int) -> np.ndarray:
        if self.levels is None:
            return super().row_bits(rows)
        return np.ceil(np.log2(self.levels)).astype("int64")

    def _grouped_shape(self, shape):
        if self.group_size is None:
            return tuple(shape)
        sizes = list(shape)
        sizes[self.group_axis] = -(-shape[self.group_axis] // self.group_size)
        return tuple(sizes)

    def _expanded(self, shape):
        if self.group_size is None:
            return self.scale, self.zero_point
        return tuple(
            self._repeat(array, shape[self.group_axis]) for array in (self.scale, self.zero_point)
        )

    def _repeat(self, array, size):
        if array.ndim == 0 or array.shape[self.group_axis] == 1:
            return array
        repeated = np.repeat(array, self.group_size, axis=self.group_axis)
        return np.take(repeated, np.arange(size), axis=self.group_axis)
