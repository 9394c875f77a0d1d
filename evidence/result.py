"""What a claim gives back: numbers per seed, and checks of the criterion."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """One quantity of one arm of an experiment, a value for each seed or round."""

    arm: str
    metric: str
    values: tuple[float, ...]

    def center(self, summary: str) -> float:
        return float(np.mean(self.values) if summary == "mean" else np.median(self.values))

    def spread(self, summary: str) -> tuple[float, ...]:
        """Sample standard deviation, or the quartiles where the summary is the median."""
        if summary == "median":
            return tuple(float(value) for value in np.quantile(self.values, [0.25, 0.75]))
        return (float(np.std(self.values, ddof=1)),) if len(self.values) > 1 else ()


@dataclass(frozen=True)
class Check:
    """One condition of the criterion, with the numbers it was decided on."""

    text: str
    passed: bool


@dataclass
class Result:
    """Rows in the order they were measured, checks, and remarks.

    `summary` is `"mean"` for values of several seeds, with the standard deviation, or `"median"`
    for repeated timings, with the quartiles.
    """

    summary: str = "mean"
    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(check.passed for check in self.checks)

    def add(self, arm: str, metric: str, values: Iterable[float]) -> None:
        self.rows.append(Row(arm, metric, tuple(float(value) for value in values)))

    def append(self, arm: str, metric: str, value: float) -> None:
        """Add one more value (the next seed) to a row."""
        for index, row in enumerate(self.rows):
            if (row.arm, row.metric) == (arm, metric):
                self.rows[index] = Row(arm, metric, (*row.values, float(value)))
                return
        self.add(arm, metric, [value])

    def center(self, arm: str, metric: str) -> float:
        for row in self.rows:
            if (row.arm, row.metric) == (arm, metric):
                return row.center(self.summary)
        raise KeyError(
            f"No row {(arm, metric)}; there are {[(r.arm, r.metric) for r in self.rows]}."
        )

    def at_least(self, text: str, value: float, limit: float) -> None:
        """Check `value >= limit`."""
        self.checks.append(
            Check(f"{text}: {value:.4g}, at least {limit:.4g}", bool(value >= limit))
        )

    def at_most(self, text: str, value: float, limit: float) -> None:
        """Check `value <= limit`."""
        self.checks.append(Check(f"{text}: {value:.4g}, at most {limit:.4g}", bool(value <= limit)))

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Result:
        return cls(
            content["summary"],
            [Row(row["arm"], row["metric"], tuple(row["values"])) for row in content["rows"]],
            [Check(**check) for check in content["checks"]],
            content["notes"],
        )
