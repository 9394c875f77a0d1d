"""How much an array of weights has changed, in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WeightChange:
    """The way from one array, or several taken together, to another of the same shape.

    Attributes:
        path: What changed.
        size: Count of the numbers.
        norm: Euclidean norm before.
        change: Euclidean norm of the difference.
        relative: `change / norm`; 0 where nothing changed, infinite where all were zero before.
        largest: Largest absolute difference.
        cosine: Cosine between before and after; 1 where nothing changed, 0 if one is all zero.
        share_changed: Share of the numbers that changed at all.
    """

    path: str
    size: int
    norm: float
    change: float
    relative: float
    largest: float
    cosine: float
    share_changed: float

    @classmethod
    def between(cls, path: str, before: np.ndarray, after: np.ndarray) -> WeightChange:
        """Of one array."""
        return cls.of_parts(path, [(before, after)])

    @classmethod
    def of_parts(cls, path: str, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> WeightChange:
        """Of several arrays as if they were one."""
        first = np.concatenate([np.asarray(a, "float64").reshape(-1) for a, _ in parts])
        second = np.concatenate([np.asarray(b, "float64").reshape(-1) for _, b in parts])
        difference = second - first
        norm, change = _norm(first), _norm(difference)
        if change == 0.0:
            relative, cosine = 0.0, 1.0
        else:
            relative = change / norm if norm > 0.0 else float("inf")
            cosine = _cosine(first, second)
        return cls(
            path,
            first.size,
            norm,
            change,
            relative,
            float(np.abs(difference).max(initial=0.0)),
            cosine,
            float(np.count_nonzero(difference) / max(first.size, 1)),
        )


def _norm(values):
    return float(np.linalg.norm(values))


def _cosine(first, second):
    scale = _norm(first) * _norm(second)
    return float(np.clip(np.dot(first, second) / scale, -1.0, 1.0)) if scale > 0.0 else 0.0
