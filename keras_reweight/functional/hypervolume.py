"""What a set of trade-offs between several objectives is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_reweight.core.validation import check_choice

MODES = ("max", "min")


def hypervolume(points: Any, reference: Any, *, modes: str | Sequence[str] = "max") -> float:
    """Volume of all that is worse than a point and better than the reference point.

    Use it to say with one number how good a set of trade-offs is: of checkpoints, of runs with
    other weights of the losses. It grows when a point is added that no other dominates, and only
    then. A point counts as far as it is better than the reference in every objective. Volumes
    depend on the units: bring objectives to one scale first.

    Computed exactly by slicing along one objective after the other, in float64 on the host.

    Args:
        points: Float array of shape `(num_points, K)`; rows that are not finite
            count nothing.
        reference: Float array of shape `(K,)`, the worst values that still count.
        modes: `"max"`, `"min"`, or a list of these, one an objective. Defaults to `"max"`.

    Returns:
        Float, zero without points.

    Raises:
        ValueError: If the shapes do not match, the reference is not finite or a mode is another.

    Example:

    ```python
    import keras_reweight as kr

    points = [[0.5, 0.2], [0.4, 0.6]]
    volume = kr.functional.hypervolume(points, [0.0, 0.0])  # 0.26
    ```

    Reference:
        Zitzler and Thiele, "Multiobjective Evolutionary Algorithms: A Comparative Case Study and
        the Strength Pareto Approach", IEEE Transactions on Evolutionary Computation 3(4), 1999.

    Cost:
        Of `n` points that dominate each other nowhere `n log n` for two objectives and at most
        `n^(K - 1)` for more.
    """
    reference = np.asarray(ops.convert_to_numpy(reference), "float64")
    if reference.ndim != 1 or not len(reference) or not np.isfinite(reference).all():
        raise ValueError(
            "`reference` must be a list of finite numbers, one an objective, got "
            f"{reference.tolist()}."
        )
    points = np.asarray(ops.convert_to_numpy(points), "float64")
    if points.size == 0:
        points = points.reshape(0, len(reference))
    if points.ndim != 2 or points.shape[1] != len(reference):
        raise ValueError(
            f"`points` must have shape (num_points, {len(reference)}), as `reference` has "
            f"{len(reference)} entries, got shape {points.shape}."
        )
    signs = signs_of(modes, len(reference))
    edges = signs * (points - reference)
    return _volume(edges[((edges > 0.0) & np.isfinite(edges)).all(axis=1)])


def signs_of(modes: Any, count: int) -> np.ndarray:
    """1 for objectives to maximize, -1 for the others."""
    each = [modes] * count if isinstance(modes, str) else modes
    if not isinstance(each, (list, tuple)) or len(each) != count:
        raise ValueError(
            f"`modes` must be 'max', 'min' or a list of {count} of these, got {modes!r}."
        )
    for mode in each:
        check_choice("modes", mode, MODES)
    return np.array([1.0 if mode == "max" else -1.0 for mode in each])


def undominated(points: np.ndarray) -> np.ndarray:
    """Rows that no other row equals or exceeds in every column, each once."""
    points = np.unique(points, axis=0)
    better = np.asarray((points[None] >= points[:, None]).all(axis=2))
    np.fill_diagonal(better, False)
    return points[~better.any(axis=1)]


def _volume(edges):
    """Of the union of boxes with a corner at zero, given the opposite corners."""
    if not len(edges):
        return 0.0
    if edges.shape[1] == 1:
        return float(edges.max())
    edges = undominated(edges)
    edges = edges[np.argsort(-edges[:, -1], kind="stable")]
    depths = edges[:, -1] - np.append(edges[1:, -1], 0.0)
    if edges.shape[1] == 2:
        return float(depths @ np.maximum.accumulate(edges[:, 0]))
    slices = [_volume(edges[: place + 1, :-1]) for place in np.flatnonzero(depths > 0.0)]
    return float(depths[depths > 0.0] @ np.array(slices))
