"""Which scale and zero point a row gets when its turn comes."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from keras_compress.grids.affine_grid import AffineGrid
from keras_compress.grids.grid import Grid
from keras_compress.post_training.affine_ranges import AffineRange, affine_range, grid_of_ranges
from keras_compress.post_training.layer_problem import LayerProblem


class RowRanges(Protocol):
    """Ranges of rows that are settled one after the other.

    `group_size` rows get one range; it may depend on all of them.
    """

    group_size: int

    def at(self, position: int, rest: np.ndarray) -> AffineRange:
        """The range of row `position`; `rest` are the weights from it on, as they are now."""
        ...

    def grid(self) -> Grid:
        """All ranges, for the rows in their original order."""
        ...


class RangesOfOutputs:
    """One range for each output and group of rows.

    A group gets its range when its first row is reached, from the weights as they are then, or,
    with `order`, from the weights before the sweep; row `position` is then the row
    `order[position]` of the matrix.
    """

    def __init__(self, problem: LayerProblem, weight: np.ndarray, clip: str, order=None):
        self._options: dict[str, Any] = {"symmetric": problem.symmetric, "clip": clip}
        self._bits, self._wanted = problem.bits, problem.group_size
        self.group_size = min(problem.group_size or len(weight), len(weight))
        self._order = order
        self._found: list[AffineRange] = []
        if order is not None:
            for begin in range(0, len(weight), self.group_size):
                self._add(weight[begin : begin + self.group_size])

    def at(self, position: int, rest: np.ndarray) -> AffineRange:
        if self._order is not None:
            return self._found[self._order[position] // self.group_size]
        if position % self.group_size == 0:
            self._add(rest[: self.group_size])
        return self._found[-1]

    def grid(self) -> AffineGrid:
        return grid_of_ranges(self._found, self._bits, group_size=self._wanted)

    def _add(self, values):
        self._found.append(affine_range(values, self._bits, **self._options))


class RangesOfInputs:
    """Ranges along the outputs of each row, from the row as it is when its turn comes."""

    group_size = 1

    def __init__(self, problem: LayerProblem, clip: str, order: np.ndarray):
        self._options: dict[str, Any] = {"symmetric": problem.symmetric, "clip": clip}
        self._bits, self._wanted = problem.bits, problem.group_size
        self._order = order
        self._found: dict[int, AffineRange] = {}

    def at(self, position: int, rest: np.ndarray) -> AffineRange:
        row = rest[0]
        size = self._wanted or len(row)
        even = len(row) - len(row) % size
        parts = [row[:even].reshape(-1, size).T, row[even:, None]]
        ranges = [affine_range(part, self._bits, **self._options) for part in parts if part.size]
        found = AffineRange(
            np.concatenate([one.scale for one in ranges]),
            np.concatenate([one.zero_point for one in ranges]),
            ranges[0].highest,
        )
        self._found[int(self._order[position])] = found
        return AffineRange(
            np.repeat(found.scale, size)[: len(row)],
            np.repeat(found.zero_point, size)[: len(row)],
            found.highest,
        )

    def grid(self) -> AffineGrid:
        ranges = [self._found[row] for row in range(len(self._found))]
        return AffineGrid(
            self._bits,
            scale=np.stack([one.scale for one in ranges]).astype("float32"),
            zero_point=np.stack([one.zero_point for one in ranges]).astype("float32"),
            group_size=self._wanted,
            group_axis=1,
        )
