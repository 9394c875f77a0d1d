"""Evenly spaced levels, as many as each input needs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from keras_compress.grids.grid import Grid, check_bits, check_fields, float_array


class LevelsGrid(Grid):
    """Evenly spaced levels over one range for each output, their number one for each input.

    Use it where inputs get different numbers of levels, which need not be powers of two. With `L`
    levels of a row, `value = s * (code - round(-low / s))` with `s = (high - low) / (L - 1)`; a row
    with one level is zero. Ranges are stored once an output, however many inputs there are.

    Args:
        bits: Integer, bits of the longest code, 1 to 8.
        levels: Integer array of shape `(rows,)`, 1 to `2**bits`, the number of levels of each row.
        low: Float array of shape `(outputs,)`, at most zero.
        high: Float array of shape `(outputs,)`, at least zero and above `low`.

    Returns:
        An object with `decode(codes)` and `encode(matrix)`.

    Raises:
        ValueError: If an argument is outside its range, not finite or of a wrong shape.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    grid = kc.grids.LevelsGrid(2, levels=np.array([3, 1]), low=[-1.0], high=[1.0])
    codes = grid.encode(np.array([[0.8], [0.8]]))
    assert grid.decode(codes).tolist() == [[1.0], [0.0]]
    ```

    Reference:
        None; the stored form of `post_training.BAQ`.
    """

    kind: ClassVar[str] = "levels"

    def __init__(self, bits: int, *, levels: Any, low: Any, high: Any):
        self.bits = check_bits(bits)
        self.levels = np.asarray(levels)
        if (
            self.levels.dtype.kind not in "iu"
            or self.levels.ndim != 1
            or not np.all((self.levels >= 1) & (self.levels <= 2**self.bits))
        ):
            raise ValueError(
                f"`levels` must be a vector of integers in 1..{2**self.bits}, got {levels!r}."
            )
        self.low, self.high = float_array("low", low), float_array("high", high)
        if self.low.ndim != 1 or self.low.shape != self.high.shape:
            raise ValueError(
                f"`low` and `high` must be vectors of one length, got shapes {self.low.shape} and "
                f"{self.high.shape}."
            )
        if not np.all((self.low <= 0.0) & (self.high >= 0.0) & (self.low < self.high)):
            raise ValueError("`low` must be at most zero, `high` at least zero and above `low`.")

    def decode(self, codes: np.ndarray) -> np.ndarray:
        scale, zero_point = self._steps()
        return (np.asarray(codes).astype(scale.dtype) - zero_point) * scale

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        scale, zero_point = self._steps()
        divisor = np.where(scale > 0, scale, np.inf)
        codes = np.rint(np.asarray(matrix, "float64") / divisor) + zero_point
        return np.clip(codes, 0, self.levels[:, None].astype("int64") - 1).astype("uint8")

    def arrays(self) -> dict[str, np.ndarray]:
        return {"levels": self.levels.astype("uint16"), "low": self.low, "high": self.high}

    def settings(self) -> dict[str, Any]:
        return {"bits": self.bits}

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> LevelsGrid:
        fields = {"bits", "levels", "low", "high"}
        check_fields(settings, arrays, fields, fields)
        fields_given: dict[str, Any] = {**settings, **arrays}
        grid = cls(**fields_given)
        if grid.levels.shape != shape[:1] or grid.low.shape != shape[1:]:
            raise ValueError(
                f"{len(grid.levels)} rows and {len(grid.low)} outputs do not fit a matrix of shape "
                f"{shape}."
            )
        return grid

    def row_bits(self, rows: int) -> np.ndarray:
        return np.ceil(np.log2(self.levels)).astype("int64")

    def _steps(self):
        """Step and zero point of every entry; rows with one level have zeros."""
        low, high = self.low.astype("float64"), self.high.astype("float64")
        gaps = self.levels[:, None] - 1.0
        # Exactly the numbers of the solver: ties of the zero point must not depend on rounding.
        zero_point = np.rint(-low * gaps / (high - low))
        scale = np.where(gaps > 0, (high - low) / np.maximum(gaps, 1.0), 0.0)
        return scale.astype(self.low.dtype), zero_point.astype(self.low.dtype)
