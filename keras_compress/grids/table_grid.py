"""Levels from a table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from keras_compress.grids.grid import Grid, check_bits, check_fields, float_array


class TableGrid(Grid):
    """Any levels: `value = scale * table[code]`.

    Use it for codebooks, and for the levels of small floating point formats. One table for the
    whole matrix, or one for each group of outputs.

    Args:
        bits: Integer, bits of a code, 1 to 8.
        table: Float array of shape `(entries,)`, `entries` at most `2**bits`, or
            `(tables, entries)`.
        assignment: Integer array of shape `(outputs,)`, the table of each output; needed where
            there are several. Defaults to `None`.
        scale: Float array of a shape that broadcasts to `(rows, outputs)`, or a number. Defaults to
            `1.0`.

    Returns:
        An object with `decode(codes)` and `encode(matrix)`.

    Raises:
        ValueError: If an argument is outside its range or not finite, or does not fit the others.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    grid = kc.grids.TableGrid(2, table=np.array([-1.0, 0.0, 1.0]), scale=0.5)
    codes = grid.encode(np.array([[0.4, -3.0]]))
    assert codes.tolist() == [[2, 0]]
    assert grid.decode(codes).tolist() == [[0.5, -0.5]]
    ```

    Reference:
        None; the stored form of quantizers with a codebook.
    """

    kind: ClassVar[str] = "table"

    def __init__(self, bits: int, *, table: Any, assignment: Any = None, scale: Any = 1.0):
        self.bits = check_bits(bits)
        self.table = float_array("table", table)
        if self.table.ndim not in (1, 2) or not 1 <= self.table.shape[-1] <= 2**self.bits:
            raise ValueError(
                f"`table` must have 1 to {2**self.bits} entries for {self.bits} bits, got shape "
                f"{self.table.shape}."
            )
        self.scale = float_array("scale", scale)
        self.assignment = None if assignment is None else np.asarray(assignment)
        if (self.assignment is None) != (self.table.ndim == 1):
            raise ValueError("`assignment` is needed with several tables, and only then.")
        if self.assignment is not None and (
            self.assignment.dtype.kind not in "iu"
            or self.assignment.ndim != 1
            or not np.all((self.assignment >= 0) & (self.assignment < len(self.table)))
        ):
            raise ValueError(
                f"`assignment` must be a vector of table numbers below {len(self.table)}, got "
                f"{assignment!r}."
            )

    def decode(self, codes: np.ndarray) -> np.ndarray:
        codes = np.asarray(codes)
        if self.assignment is None:
            return self.table[codes] * self.scale
        return self.table[self.assignment[None, :], codes] * self.scale

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        scaled = np.asarray(matrix, "float64") / self.scale
        if self.assignment is None:
            return nearest_entry(scaled, self.table)
        codes = np.zeros(scaled.shape, "uint8")
        for number, table in enumerate(self.table):
            members = self.assignment == number
            codes[:, members] = nearest_entry(scaled[:, members], table)
        return codes

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"table": self.table}
        if self.assignment is not None:
            arrays["assignment"] = self.assignment.astype("uint32")
        if self.scale.ndim:
            arrays["scale"] = self.scale
        return arrays

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"bits": self.bits}
        if not self.scale.ndim:
            settings["scale"] = float(self.scale)
        return settings

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> TableGrid:
        check_fields(
            settings, arrays, {"bits", "table", "assignment", "scale"}, {"bits", "table", "scale"}
        )
        fields: dict[str, Any] = {**settings, **arrays}
        grid = cls(**fields)
        if grid.assignment is not None and grid.assignment.shape != (shape[1],):
            raise ValueError(f"assignment {grid.assignment.shape} does not fit {shape[1]} outputs.")
        if grid.scale.ndim and (
            grid.scale.ndim != 2
            or any(one not in (1, size) for one, size in zip(grid.scale.shape, shape, strict=True))
        ):
            raise ValueError(f"scale of shape {grid.scale.shape} does not fit {shape}.")
        return grid


def nearest_entry(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Position in `table`, in any order, of the entry nearest to each value (ties: the lower)."""
    order = np.argsort(table, kind="stable")
    levels = np.asarray(table, "float64")[order]
    borders = (levels[1:] + levels[:-1]) / 2.0
    return order[np.searchsorted(borders, values, side="left")].astype("uint8")
