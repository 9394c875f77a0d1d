"""Statistics of the inputs of one matrix, batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np


class RowStatistics:
    """Sums over the rows that a kernel meets, and a sample of them.

    Rows are `(n, groups, rows)`; every sum has a leading axis of groups.
    """

    def __init__(self, needs: frozenset[str], max_samples: int):
        self._needs, self._max_samples = needs, max_samples
        self._generator = np.random.default_rng(0)
        self.count = 0
        self._sums: dict[str, Any] = {"gram": 0.0, "cross": 0.0, "mean_abs": 0.0}
        self._keys = np.empty(0)
        self._samples: dict[str, np.ndarray] = {}

    def add(self, rows: np.ndarray, exact: np.ndarray | None, weights: np.ndarray | None) -> None:
        """Take in rows, those of the float model, and the weights `(n,)` of both in products."""
        self.count += len(rows)
        weighted = rows if weights is None else rows * np.sqrt(weights)[:, None, None]
        by_group = weighted.transpose(1, 2, 0)
        self._sums["gram"] = self._sums["gram"] + by_group @ by_group.swapaxes(1, 2)
        if "cross" in self._needs:
            away = exact - rows
            away = away if weights is None else away * np.sqrt(weights)[:, None, None]
            self._sums["cross"] = self._sums["cross"] + away.transpose(1, 2, 0) @ (
                by_group.swapaxes(1, 2)
            )
        if "mean_abs" in self._needs:
            self._sums["mean_abs"] = self._sums["mean_abs"] + np.abs(rows).sum(axis=0)
        if self._needs & {"inputs", "outputs"}:
            self._keep(rows, exact)

    def fields(self, group: int, weight: np.ndarray) -> dict[str, np.ndarray]:
        """Fields of the `LayerProblem` of the matrix `weight` `(rows, outputs)` of a group."""
        found = {"gram": self._sums["gram"][group] * (2.0 / self.count)}
        if "cross" in self._needs:
            found["cross"] = self._sums["cross"][group] * (2.0 / self.count)
        if "mean_abs" in self._needs:
            found["mean_abs"] = self._sums["mean_abs"][group] / self.count
        if self._samples:
            found["inputs"] = self._samples["rows"][:, group]
        if "exact" in self._samples:
            found["targets"] = self._samples["exact"][:, group] @ weight
        return found

    def _keep(self, rows, exact):
        """Every row seen so far is as likely to be kept: those with the smallest random keys."""
        new = {"rows": rows, "exact": exact} if "outputs" in self._needs else {"rows": rows}
        keys = np.concatenate([self._keys, self._generator.random(len(rows))])
        kept = np.sort(np.argsort(keys, kind="stable")[: self._max_samples])
        for name, values in new.items():
            before = self._samples.get(name, values[:0])
            self._samples[name] = np.concatenate([before, values])[kept]
        self._keys = keys[kept]
