"""Bits under a budget: plain numbers in, plain numbers out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_compress.bits.equal_loss_rates import equal_loss_rates
from keras_compress.pruning.allocations.level_choice import choose_levels


def greedy(losses: np.ndarray, costs: np.ndarray, budget: int) -> list[int]:
    """Index of a choice for each layer: what wins most for its bits comes first.

    Every layer starts with its cheapest choice; again and again the step (to any dearer choice)
    with the largest fall of the loss for its cost is taken, as long as it falls and fits. The same
    is tried from every choice that all layers can have, so that the result is never worse than one
    width for all.

    Args:
        losses: Float array of shape `(layers, choices)`, choices by rising cost.
        costs: Integer array of the same shape.
        budget: Integer, largest sum of costs, at least that of the cheapest choices.
    """
    return _best(losses, _greedy_candidates(losses, costs, budget))


def closed_form(
    scores: np.ndarray, sizes: np.ndarray, choices: Sequence[int], costs: np.ndarray, budget: int
) -> list[int]:
    """Rates of equal loss within the range of choices, rounded down, the rest spent greedily."""
    largest = scores.max()
    # Nothing to lose at all is no number in a formula of logarithms.
    safe = np.maximum(scores, 1e-12 * largest) if largest > 0.0 else np.ones_like(scores)
    rates = equal_loss_rates(safe, 0.0, sizes=sizes)
    low, high = choices[0] - rates.max(), choices[-1] - rates.min()

    def clipped(level):
        return np.clip(rates + level, choices[0], choices[-1])

    # The level at which the clipped rates spend the budget; 100 halvings leave no error.
    for _ in range(100):
        middle = 0.5 * (low + high)
        spent = sum(map(_interpolator(choices), clipped(middle), costs))
        low, high = (middle, high) if spent <= budget else (low, middle)
    for tolerance in (1e-6, 0.0):
        wanted = clipped(low) + tolerance
        start = [int(np.searchsorted(choices, rate, side="right")) - 1 for rate in wanted]
        if sum(int(costs[layer, index]) for layer, index in enumerate(start)) <= budget:
            break
    modeled = safe[:, None] * 4.0 ** -np.asarray(choices, "float64")
    return _spend(modeled, costs, budget, start)


def knapsack(losses: np.ndarray, costs: np.ndarray, budget: int) -> list[int]:
    """The choices of least total loss.

    The search counts budgets of more than 100000 units in larger ones, costs rounded up; what that
    leaves is spent greedily, and where `greedy` alone is better, its result is taken.
    """
    unit = int(np.gcd.reduce(costs - costs[:, :1], axis=None)) or 1
    cheapest = int(costs[:, 0].sum())
    steps = (costs - costs[:, :1]) // unit
    found = choose_levels(
        list(losses), list(steps), (budget - cheapest) // unit, resolution=100_000
    )
    candidates = [_spend(losses, costs, budget, found)]
    return _best(losses, [*candidates, *_greedy_candidates(losses, costs, budget)])


def split(scores: np.ndarray, costs: np.ndarray, budget: int) -> list[int]:
    """The last choice for the most important layers, in order, wherever it still fits."""
    chosen, spent = [0] * len(scores), int(costs[:, 0].sum())
    for layer in np.argsort(-scores, kind="stable"):
        price = int(costs[layer, -1] - costs[layer, 0])
        if spent + price <= budget:
            chosen[layer], spent = costs.shape[1] - 1, spent + price
    return chosen


def _greedy_candidates(losses, costs, budget):
    """From one width for all, the lowest first, as long as it fits."""
    return [
        _spend(losses, costs, budget, [index] * len(losses))
        for index in range(costs.shape[1])
        if costs[:, index].sum() <= budget
    ]


def _best(losses, candidates):
    """The first of the least total loss."""
    return min(candidates, key=lambda chosen: losses[np.arange(len(losses)), chosen].sum())


def _interpolator(choices):
    return lambda rate, cost: float(np.interp(rate, choices, cost))


def _spend(losses, costs, budget, chosen):
    chosen = list(chosen)
    left = budget - sum(int(costs[layer, index]) for layer, index in enumerate(chosen))
    while True:
        best, step = 0.0, None
        for layer, index in enumerate(chosen):
            for other in range(index + 1, losses.shape[1]):
                price = int(costs[layer, other] - costs[layer, index])
                # Some steps of small layers are free: their codes fill a byte anyway.
                gain = (losses[layer, index] - losses[layer, other]) / max(price, 0.5)
                # Strictly better, so the first in the order of the model wins a tie.
                if price <= left and gain > best:
                    best, step = gain, (layer, other, price)
        if step is None:
            return chosen
        layer, other, price = step
        chosen[layer], left = other, left - price
