"""The minimum number of survivors a variable, and counts that add up exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def floor_counts(sizes: Sequence[int], min_keep: float) -> list[int]:
    """Weights that must survive in each variable: `min_keep` of all weights, or the whole of it.

    Unless `min_keep` is zero, that is at least one: a layer without weights passes nothing on.
    """
    # 1e-9: a share such as 0.29 of 100 must not become 28 through rounding of the product.
    floor = max(int(min_keep * sum(sizes) + 1e-9), int(min_keep > 0.0))
    return [min(floor, size) for size in sizes]


def prune_total(sparsity: float, sizes: Sequence[int], floors: Sequence[int]) -> int:
    """Units to prune in all: `sparsity` of them, unless the floors or the last survivor forbid."""
    return max(0, min(round(sparsity * sum(sizes)), sum(sizes) - max(sum(floors), 1)))


def held_counts(scores: Sequence[np.ndarray]) -> list[int]:
    """Units of each variable that are pruned already."""
    return [int(np.isneginf(score).sum()) for score in scores]


def share_out(
    weights: Sequence[float], low: Sequence[float], high: Sequence[float], total: float
) -> np.ndarray:
    """Parts proportional to `weights` within `low` and `high` that add up to `total`.

    The sum of `clip(f * weights, low, high)` is piecewise linear in `f`, so that `f` is found by
    interpolation between its corners. A total out of reach gives the nearest that is not.
    """
    slopes, least, most = (np.asarray(part, "float64") for part in (weights, low, high))
    corners = np.unique(np.concatenate([least / slopes, most / slopes]))
    sums = np.clip(corners[:, None] * slopes, least, most).sum(axis=1)
    return np.clip(np.interp(total, sums, corners) * slopes, least, most)


def refine_sparsities(
    sparsities: Sequence[float], sizes: Sequence[int], target: float, floors: Sequence[int]
) -> np.ndarray:
    """Scale per-variable sparsities to a total of `target` without passing any floor.

    Finds the factor `f` with `sum(n * min(f * s, 1 - floor / n)) = target * sum(n)` directly; the
    procedure of the reference code (rescale, clip, repeat) converges to the same values, but runs
    forever where no factor exists. Variables with `s = 0` share what the others cannot take.
    """
    numbers = np.asarray(sizes, "float64")
    caps = 1.0 - np.asarray(floors, "float64") / numbers
    wanted = np.where(caps > 0.0, np.asarray(sparsities, "float64"), 0.0)
    budget = target * numbers.sum()
    free = wanted > 0.0
    result = np.zeros_like(caps)
    while free.any():
        factor = (budget - (numbers * result)[~free].sum()) / (numbers * wanted)[free].sum()
        over = free & (factor * wanted > caps)
        if not over.any():
            result[free] = factor * wanted[free]
            break
        result[over] = caps[over]
        free &= ~over
    missing = budget - (numbers * result).sum()
    room = np.where(wanted > 0.0, 0.0, numbers * caps)
    if missing > 0.0 and room.sum() > 0.0:
        result += caps * (room > 0.0) * min(missing / room.sum(), 1.0)
    return result


def exact_counts(
    sparsities: Sequence[float],
    sizes: Sequence[int],
    total: int,
    floors: Sequence[int],
    held: Sequence[int],
) -> list[int]:
    """Integers close to `sparsity * size` that add up to `total`, by largest remainder.

    No count passes its floor, and none falls below the number of weights already pruned (`held`)
    unless the total itself does.
    """
    high = np.asarray(sizes) - np.asarray(floors)
    low = np.minimum(held, high) if sum(held) <= total else np.zeros_like(high)
    wanted = np.asarray(sparsities, "float64") * np.asarray(sizes)
    counts = np.clip(np.floor(wanted).astype("int64"), low, high)
    while (difference := total - int(counts.sum())) != 0:
        step = 1 if difference > 0 else -1
        movable = counts < high if step > 0 else counts > low
        if not movable.any():
            break
        remainder = np.where(movable, step * (wanted - counts), -np.inf)
        order = np.argsort(-remainder, kind="stable")
        chosen = order[: min(abs(difference), int(movable.sum()))]
        counts[chosen] += step
    return counts.tolist()
