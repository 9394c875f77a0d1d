"""Clusters of numbers, and of columns that are distributed alike."""

from __future__ import annotations

import numpy as np

_DECILES = np.linspace(0.05, 0.95, 10)


def k_means(
    values: np.ndarray, count: int, iterations: int, weights: np.ndarray | None = None
) -> np.ndarray:
    """`count` ascending levels for the numbers `values` `(n,)`, float64.

    Lloyd's iterations from quantiles; the squared error, each number's times its entry of
    `weights`, never rises. A level without numbers moves to the number that is farthest from its
    own.
    """
    values = np.asarray(values, "float64")
    order = np.argsort(values, kind="stable")
    values = values[order]
    weights = None if weights is None else np.asarray(weights, "float64")[order]
    levels = np.quantile(values, (np.arange(count) + 0.5) / count)
    for _ in range(iterations):
        new = k_means_step(values, levels, weights)
        if np.array_equal(new, levels):
            break
        levels = new
    return levels


def k_means_step(
    values: np.ndarray, levels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Means of the numbers nearest to each of the ascending `levels`; `values` are sorted."""
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2.0, values, side="left")
    counts = np.bincount(codes, minlength=len(levels))
    shares = counts if weights is None else np.bincount(codes, weights, minlength=len(levels))
    weighted = values if weights is None else values * weights
    sums = np.bincount(codes, weighted, minlength=len(levels))
    new = np.where(counts > 0, sums / np.where(counts > 0, shares, 1), levels)
    empty = np.flatnonzero(counts == 0)
    if empty.size:
        errors = np.abs(values - new[codes])
        for level, number in zip(empty, np.argsort(-errors, kind="stable"), strict=False):
            if errors[number] > 0.0:
                new[level] = values[number]
    return np.sort(new)


def nearest_codes(matrix: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Codes, uint8, of the nearest of the ascending levels `(k, outputs)` of each output."""
    codes = np.zeros(matrix.shape, "uint8")
    for border in (levels[1:] + levels[:-1]) / 2.0:
        codes += matrix > border
    return codes


def group_columns(matrix: np.ndarray, count: int, iterations: int = 20) -> np.ndarray:
    """The group, 0 to `count - 1`, of each column: those with alike deciles belong together."""
    outputs = matrix.shape[1]
    if count >= outputs:
        return np.arange(outputs)
    deciles = np.quantile(matrix, _DECILES, axis=0).T
    # By width first: equal shares of the outputs in ascending order of their spread.
    order = np.argsort(matrix.std(axis=0), kind="stable")
    members = np.empty(outputs, "int64")
    members[order] = np.arange(outputs) * count // outputs
    for _ in range(iterations):
        sizes = np.bincount(members, minlength=count)
        if not sizes.all():
            break
        centers = np.stack([deciles[members == group].mean(axis=0) for group in range(count)])
        distances = np.square(deciles[:, None] - centers).sum(axis=-1)
        new = np.argmin(distances, axis=1)
        if np.array_equal(new, members) or not np.bincount(new, minlength=count).all():
            break
        members = new
    return members
