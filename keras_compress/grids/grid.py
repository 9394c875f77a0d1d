"""What a stored code stands for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np


class Grid:
    """Base of grids: a few levels for the entries of a matrix, and how they are stored.

    A grid belongs to one matrix of shape `(rows, outputs)`, inputs before outputs. It turns
    unsigned integer codes into values (`decode`), values into the codes of the nearest levels
    (`encode`), and itself into arrays and settings for a file (`arrays`, `settings`, `read`).
    """

    #: Name of the kind of grid in files.
    kind: ClassVar[str]
    bits: int

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Values of shape `(rows, outputs)` of unsigned codes of the same shape."""
        raise NotImplementedError(f"{type(self).__name__} must define decode(codes).")

    def encode(self, matrix: np.ndarray) -> np.ndarray:
        """Codes, uint8 of shape `(rows, outputs)`, of the levels nearest to `matrix`."""
        raise NotImplementedError(f"{type(self).__name__} must define encode(matrix).")

    def arrays(self) -> dict[str, np.ndarray]:
        """What differs from matrix to matrix, by name."""
        raise NotImplementedError(f"{type(self).__name__} must define arrays().")

    def settings(self) -> dict[str, Any]:
        """What is left of the grid, as JSON."""
        raise NotImplementedError(f"{type(self).__name__} must define settings().")

    @classmethod
    def read(
        cls, settings: dict[str, Any], arrays: dict[str, np.ndarray], shape: tuple[int, int]
    ) -> Grid:
        """The grid of `arrays` and `settings` for a matrix of `shape`; every field is checked."""
        raise NotImplementedError(f"{cls.__name__} must define read(settings, arrays, shape).")

    def row_bits(self, rows: int) -> np.ndarray:
        """Bits a code of each row takes: integers of shape `(rows,)`."""
        return np.full(rows, self.bits)


def check_fields(settings: Any, arrays: Any, known: set[str], required: set[str]) -> None:
    """Raise unless a file has the settings and arrays `required`, and no others than `known`."""
    if not isinstance(settings, dict) or not isinstance(arrays, dict):
        raise ValueError(f"a grid needs settings and arrays, got {settings!r}.")
    found = {*settings, *arrays}
    if required - found or found - known:
        raise ValueError(
            f"fields {sorted(found)} do not describe a grid: missing {sorted(required - found)}, "
            f"unknown {sorted(found - known)}."
        )


def check_bits(bits: Any) -> int:
    """`bits` as an integer from 1 to 8."""
    if isinstance(bits, bool) or not isinstance(bits, (int, np.integer)) or not 1 <= bits <= 8:
        raise ValueError(f"`bits` must be an integer from 1 to 8, got {bits!r}.")
    return int(bits)


def float_array(name: str, array: Any) -> np.ndarray:
    """`array` as a finite float32 array: files and runtimes know no others."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"`{name}` must hold numbers, got dtype {array.dtype}.")
    with np.errstate(over="ignore"):
        array = array.astype("float32")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"`{name}` has values that are not finite.")
    return array
