"""Cluster centers of numbers."""

from __future__ import annotations

import numpy as np

#: Ways to choose the first centers.
INITIALIZATIONS = ("kmeans++", "linear", "density", "random")
_SEED = 9


def cluster_centers(
    values: np.ndarray,
    num_centers: int,
    *,
    initialization: str = "kmeans++",
    iterations: int = 25,
    fixed_zero: bool = False,
) -> np.ndarray:
    """Centers of the columns of `values`, ascending: float64, shape `(columns, num_centers)`.

    Lloyd's iterations on sorted values: the squared error never grows. A column with at most
    `num_centers` different values gets exactly these. Centers that no value is next to stay where
    they are.

    Args:
        values: Float array of shape `(rows, columns)`.
        num_centers: Integer >= 1.
        initialization: `"kmeans++"` (spread out at random), `"linear"` (evenly spaced between the
            extremes), `"density"` (evenly spaced quantiles) or `"random"` (uniform between the
            extremes).
        iterations: Integer >= 0.
        fixed_zero: Whether zero is one of the centers, in place of the one nearest to it.
    """
    values = np.sort(np.asarray(values, "float64"), axis=0)
    generator = np.random.default_rng(_SEED)
    return np.stack(
        [
            _centers(column, num_centers, initialization, iterations, fixed_zero, generator)
            for column in values.T
        ]
    )


def _centers(values, num_centers, initialization, iterations, fixed_zero, generator):
    different = np.unique(np.append(values, 0.0) if fixed_zero else values)
    if len(different) <= num_centers:
        # Padding repeats the largest: it changes no value that is looked up.
        return np.pad(different, (0, num_centers - len(different)), mode="edge")
    centers = np.sort(_FIRST[initialization](values, num_centers, generator))
    if fixed_zero:
        centers[np.argmin(np.abs(centers))] = 0.0
    totals = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(iterations):
        ends = np.searchsorted(values, (centers[1:] + centers[:-1]) / 2.0, side="right")
        ends = np.concatenate([[0], ends, [len(values)]])
        counts = np.diff(ends)
        means = np.diff(totals[ends]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, centers)
        if fixed_zero:
            moved = np.where(centers == 0.0, 0.0, moved)
        if np.array_equal(moved, centers):
            break
        centers = np.sort(moved)
    return centers


def _spread_out(values, num_centers, generator):
    centers = [generator.choice(values)]
    distance = np.square(values - centers[0])
    for _ in range(num_centers - 1):
        # More different values than centers, so some distance is positive.
        centers.append(generator.choice(values, p=distance / distance.sum()))
        distance = np.minimum(distance, np.square(values - centers[-1]))
    return np.array(centers)


def _evenly_spaced(values, num_centers, generator):
    return np.linspace(values[0], values[-1], num_centers)


def _quantiles(values, num_centers, generator):
    return np.quantile(values, (np.arange(num_centers) + 0.5) / num_centers)


def _uniform(values, num_centers, generator):
    return generator.uniform(values[0], values[-1], num_centers)


_FIRST = {
    "kmeans++": _spread_out,
    "linear": _evenly_spaced,
    "density": _quantiles,
    "random": _uniform,
}
