"""Task vectors of one weight: thinned out, brought to one sign, and summed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Below it a sum of magnitudes says nothing about a scale.
_SMALL = 1e-7


def keep_largest(delta: np.ndarray, density: float) -> np.ndarray:
    """Zero all but the `density` largest magnitudes, at least one; equal ones in order."""
    count = _kept(delta, density)
    if count >= delta.size:
        return delta
    order = np.argsort(-np.abs(delta), axis=None, kind="stable")
    return _only(delta, order[:count])


def keep_middle(delta: np.ndarray, density: float, gamma: float) -> np.ndarray:
    """Zero the `gamma` largest magnitudes, and as many of the smallest as leave `density`."""
    count = _kept(delta, density)
    if density >= 1.0 or not delta.size:
        return delta
    top = min(int(gamma * delta.size), delta.size - count)
    order = np.argsort(np.abs(delta), axis=None, kind="stable")
    end = delta.size - top
    return _only(delta, order[end - count : end])


def drop(
    delta: np.ndarray, density: float, rescale: str | None, rng: np.random.Generator
) -> np.ndarray:
    """Keep each number with probability `density`, and make up for those that went."""
    kept = np.where(rng.random(delta.shape) < density, delta, 0.0)
    if rescale == "density":
        return kept / density
    if rescale == "l1":
        before, after = np.abs(delta).sum(), np.abs(kept).sum()
        return kept * (before / after) if min(before, after) >= _SMALL else kept
    return kept


def combine(
    deltas: Sequence[np.ndarray],
    weights: Sequence[float],
    *,
    elect_signs: bool = False,
    average: bool = False,
) -> np.ndarray:
    """Weighted sum; with `elect_signs` of those that have the sign of the sum, or their mean."""
    weighted = np.stack([weight * delta for weight, delta in zip(weights, deltas, strict=True)])
    total = weighted.sum(axis=0)
    if not elect_signs:
        return total
    agree = np.sign(weighted) == np.where(total >= 0.0, 1.0, -1.0)
    agreed = np.where(agree, weighted, 0.0).sum(axis=0)
    if not average:
        return agreed
    column = np.reshape(weights, (-1,) + (1,) * total.ndim)
    divisor = np.where(agree, column, 0.0).sum(axis=0)
    return agreed / np.where(divisor == 0.0, 1.0, divisor)


def _kept(delta, density):
    return max(int(density * delta.size), 1)


def _only(delta, places):
    kept = np.zeros_like(delta)
    kept.flat[places] = delta.flat[places]
    return kept
