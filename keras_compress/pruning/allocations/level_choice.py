"""One level a variable under a common budget: the knapsack behind rate and distortion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def choose_levels(
    distortions: Sequence[np.ndarray],
    costs: Sequence[np.ndarray],
    budget: float,
    resolution: int = 4000,
) -> list[int]:
    """The level of each variable whose distortions add up to the least within the budget.

    The budget beyond the cheapest choice is counted in at most `resolution` units of at least 1,
    costs rounded up: the choice keeps the budget and is the best one up to a unit a variable, and
    exactly so where the costs are integers and the units are 1. Memory and time do not grow with
    the costs.

    Args:
        distortions: A float array of shape `(levels,)` for each variable.
        costs: Float arrays of the same shapes, what remains at each level.
        budget: Float, largest sum of costs.
        resolution: Integer, number of units of the budget.

    Returns:
        List of integers, the index of the level of each variable.

    Raises:
        ValueError: If even the cheapest levels cost more than the budget.
    """
    cheapest = [float(np.min(cost)) for cost in costs]
    # 1e-9: sums of floats; the budget itself is allowed.
    spare = budget - sum(cheapest) + 1e-9 * max(abs(budget), 1.0)
    if spare < 0.0:
        raise ValueError(
            f"`budget`={budget!r} is less than the {sum(cheapest)} that the cheapest levels cost."
        )
    unit = max(1.0, spare / resolution)
    best = np.zeros(int(spare // unit) + 1)
    steps, choices = [], []
    for distortion, cost, low in zip(distortions, costs, cheapest, strict=True):
        needed = np.ceil((np.asarray(cost, "float64") - low) / unit - 1e-9).astype("int64")
        total, choice = np.full(len(best), np.inf), np.zeros(len(best), "int32")
        for level, (step, add) in enumerate(zip(needed, distortion, strict=True)):
            if step >= len(best):
                continue
            candidate = best[: len(best) - step] + add
            better = candidate < total[step:]
            total[step:][better] = candidate[better]
            choice[step:][better] = level
        best = total
        steps.append(needed)
        choices.append(choice)
    left, levels = len(best) - 1, []
    for needed, choice in zip(reversed(steps), reversed(choices), strict=True):
        levels.append(int(choice[left]))
        left -= int(needed[levels[-1]])
    return levels[::-1]
