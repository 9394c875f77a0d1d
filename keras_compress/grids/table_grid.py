"""Levels from a table."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from keras_compress.grids.grid import Grid, check_bits, check_fields, float_array


class TableGrid(Grid):
    """Any levels: `value = scale * table[code]`.

    Use it for codebooks, and for the levels of small floating point formats, also with a scale for
    every group of consecutive inputs of an output. One table for the whole matrix, or one for each
    group of outputs. Where outputs with the same table are neighbors, files need no map from
    outputs to tables, only how many outputs each has.

    Args:
        bits: Integer, bits of a code, 1 to 8.
        table: Float array of shape `(entries,)`, `entries` at most `2**bits`, or
            `(tables, entries)`.
        assignment: Integer array of shape `(outputs,)`, the table of each output; needed where
            there are several. Defaults to `None`.
        scale: Float array of a shape that broadcasts to `(rows, outputs)`, with groups to
            `(groups, outputs)`, or a number. Defaults to `1.0`.
        group_size: Integer >= 1, consecutive inputs that share a scale; the last group may be
            shorter. `None` for no groups. Defaults to `None`.

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

    def __init__(
        self,
        bits: int,
        *,
        table: Any,
        assignment: Any = None,
        scale: Any = 1.0,
        group_size: int | None = None,
    ):
        self.bits = check_bits(bits)
        self.table = float_array("table", table)
        if self.table.ndim not in (1, 2) or not 1 <= self.table.shape[-1] <= 2**self.bits:
            raise ValueError(
                f"`table` must have 1 to {2**self.bits} entries for {self.bits} bits, got shape "
                f"{self.table.shape}."
            )
        self.scale = float_array("scale", scale)
        if group_size is not None and (
            isinstance(group_size, bool)
            or not isinstance(group_size, (int, np.integer))
            or group_size < 1
        ):
            raise ValueError(f"`group_size` must be an integer >= 1 or None, got {group_size!r}.")
        self.group_size = None if group_size is None else int(group_size)
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
        scale = self.expanded_scale(codes.shape[0])
        if self.assignment is None:
            return self.table[codes] * scale
        return self.table[self.assignment[None, :], codes] * scale

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        matrix = np.asarray(matrix, "float64")
        scaled = matrix / self.expanded_scale(matrix.shape[0])
        if self.assignment is None:
            return nearest_entry(scaled, self.table)
        codes = np.zeros(scaled.shape, "uint8")
        for number, table in enumerate(self.table):
            members = self.assignment == number
            codes[:, members] = nearest_entry(scaled[:, members], table)
        return codes

    def expanded_scale(self, rows: int) -> np.ndarray:
        """The scale without groups: it broadcasts to a matrix of this many rows."""
        if self.group_size is None or self.scale.ndim == 0 or self.scale.shape[0] == 1:
            return self.scale
        return np.repeat(self.scale, self.group_size, axis=0)[:rows]

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"table": self.table}
        if self.assignment is not None:
            arrays.update(self._assignment_arrays())
        if self.scale.ndim:
            arrays["scale"] = self.scale
        return arrays

    def settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {"bits": self.bits}
        if not self.scale.ndim:
            settings["scale"] = float(self.scale)
        if self.group_size is not None:
            settings["group_size"] = self.group_size
        return settings

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> TableGrid:
        known = {"bits", "table", "assignment", "sizes", "scale", "group_size"}
        check_fields(settings, arrays, known, {"bits", "table", "scale"})
        fields: dict[str, Any] = {**settings, **arrays}
        sizes = fields.pop("sizes", None)
        tables = np.shape(fields["table"])
        if sizes is not None:
            if "assignment" in fields or np.shape(sizes) != tables[:1] or len(tables) != 2:
                raise ValueError(f"sizes {sizes!r} do not fit tables of shape {tables}.")
            if np.asarray(sizes).dtype.kind not in "iu" or np.sum(sizes) != shape[1]:
                raise ValueError(f"sizes {sizes!r} do not fit {shape[1]} outputs.")
            fields["assignment"] = np.repeat(np.arange(tables[0], dtype="uint32"), sizes)
        elif len(tables) == 2:
            fields.setdefault("assignment", np.arange(tables[0], dtype="uint32"))
        grid = cls(**fields)
        if grid.assignment is not None and grid.assignment.shape != (shape[1],):
            raise ValueError(f"assignment {grid.assignment.shape} does not fit {shape[1]} outputs.")
        size = 1 if grid.group_size is None else grid.group_size
        expected = (-(-shape[0] // size), shape[1])
        if grid.scale.ndim and (
            grid.scale.ndim != 2
            or any(
                one not in (1, full) for one, full in zip(grid.scale.shape, expected, strict=True)
            )
        ):
            raise ValueError(f"scale of shape {grid.scale.shape} does not fit {shape}.")
        return grid

    def _assignment_arrays(self):
        """What a file needs to tell the table of each output: nothing where each has its own."""
        if np.any(np.diff(self.assignment.astype("int64")) < 0):
            return {"assignment": self.assignment.astype("uint32")}
        sizes = np.bincount(self.assignment, minlength=len(self.table)).astype("uint32")
        if np.all(sizes == 1):
            return {}
        if len(sizes) > len(self.assignment):
            return {"assignment": self.assignment.astype("uint32")}
        return {"sizes": sizes}


def nearest_entry(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Position in `table`, in any order, of the entry nearest to each value (ties: the lower)."""
    order = np.argsort(table, kind="stable")
    levels = np.asarray(table, "float64")[order]
    borders = (levels[1:] + levels[:-1]) / 2.0
    return order[np.searchsorted(borders, values, side="left")].astype("uint8")
