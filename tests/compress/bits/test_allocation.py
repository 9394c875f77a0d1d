"""Allocations of plain numbers against brute force and bounds."""

import itertools

import numpy as np
import pytest

from keras_compress.bits import _allocation

CHOICES = (2, 3, 4, 8)


def problem(seed, layers=5, equal=False):
    rng = np.random.default_rng(seed)
    sizes = np.full(layers, 7) if equal else rng.integers(5, 90, layers)
    scores = 10.0 ** rng.uniform(-3, 1, layers)
    costs = sizes[:, None] * np.array(CHOICES)
    return scores, sizes, costs, scores[:, None] * 4.0 ** -np.array(CHOICES)


def total(table, chosen):
    return table[np.arange(len(table)), chosen].sum()


def brute_force(losses, costs, budget):
    every = itertools.product(range(losses.shape[1]), repeat=len(losses))
    return min(total(losses, c) for c in map(list, every) if total(costs, c) <= budget)


def plans(seed, budget, equal=False):
    scores, sizes, costs, losses = problem(seed, equal=equal)
    return losses, costs, {
        "greedy": _allocation.greedy(losses, costs, budget),
        "knapsack": _allocation.knapsack(losses, costs, budget),
        "closed_form": _allocation.closed_form(scores, sizes, CHOICES, costs, budget),
        "split": _allocation.split(scores, costs[:, [0, 3]], budget),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_no_budget_is_exceeded_and_the_knapsack_is_the_best(seed):
    least = int(problem(seed)[2][:, 0].sum())
    before = np.inf
    for budget in range(least, 4 * least, least // 7):
        losses, costs, found = plans(seed, budget)
        best = brute_force(losses, costs, budget)
        for name, chosen in found.items():
            used = costs[:, [0, 3]] if name == "split" else costs
            assert total(used, chosen) <= budget, name
        np.testing.assert_allclose(total(losses, found["knapsack"]), best, rtol=1e-9)
        # More budget never hurts.
        assert best <= before
        before = best
        # What greedy and the closed form can miss is the last step that did not fit.
        slack = losses[:, 0].max()
        for name in ("greedy", "closed_form"):
            assert best - 1e-12 <= total(losses, found[name]) <= best + slack, name


def test_whole_budgets_of_convex_losses_are_spent_the_best_way_by_greedy_steps():
    choices = (2, 3, 4)
    scores, sizes, costs, losses = problem(3, equal=True)
    costs, losses = costs[:, :3], losses[:, :3]
    before = np.inf
    for steps in range(11):
        budget = int(costs[:, 0].sum()) + 7 * steps
        for chosen in (
            _allocation.greedy(losses, costs, budget),
            _allocation.closed_form(scores, sizes, choices, costs, budget),
        ):
            np.testing.assert_allclose(total(losses, chosen), brute_force(losses, costs, budget))
            assert total(costs, chosen) == budget
        assert total(losses, chosen) < before
        before = total(losses, chosen)


def test_higher_scores_get_no_fewer_bits_among_layers_of_one_size():
    scores, sizes, costs, losses = problem(1, layers=8, equal=True)
    order = np.argsort(scores)
    budget = 4 * int(sizes.sum())
    for chosen in (
        _allocation.greedy(losses, costs, budget),
        _allocation.closed_form(scores, sizes, CHOICES, costs, budget),
        _allocation.split(scores, costs[:, [0, 3]], budget),
    ):
        assert (np.diff(np.array(chosen)[order]) >= 0).all()


def test_whole_rates_are_taken_as_they_are():
    scores = np.array([1.0, 4.0, 16.0, 16.0])
    sizes = np.full(4, 10)
    costs = sizes[:, None] * np.arange(1, 9)
    chosen = _allocation.closed_form(scores, sizes, range(1, 9), costs, 130)
    assert [index + 1 for index in chosen] == [2, 3, 4, 4]
    # What is left is worth the same everywhere; the first layers come first.
    chosen = _allocation.closed_form(scores, sizes, range(1, 9), costs, 150)
    assert [index + 1 for index in chosen] == [3, 4, 4, 4]
    assert _allocation.closed_form(np.zeros(4), sizes, range(1, 9), costs, 120) == [2, 2, 2, 2]


def test_the_split_is_exact_and_ties_go_to_the_first():
    costs = np.array([[20, 80]] * 4)
    ties = np.array([1.0, 2.0, 2.0, 2.0])
    assert _allocation.split(ties, costs, 200) == [0, 1, 1, 0]
    assert _allocation.split(ties, costs, 199) == [0, 1, 0, 0]
    assert _allocation.greedy(ties[:, None] * [1.0, 0.5], costs, 200) == [0, 1, 1, 0]
    # A large layer that does not fit leaves the budget to those behind it.
    large = np.array([[20, 80], [200, 800], [20, 80]])
    assert _allocation.split(np.array([3.0, 2.0, 1.0]), large, 500) == [1, 0, 1]


def test_measured_losses_of_any_shape_are_never_worse_than_one_width():
    rng = np.random.default_rng(5)
    for seed in range(20):
        _, sizes, costs, _ = problem(seed, layers=4)
        losses = rng.normal(size=costs.shape)
        for index in range(4):
            budget = int(costs[:, index].sum())
            found = _allocation.knapsack(losses, costs, budget)
            np.testing.assert_allclose(total(losses, found), brute_force(losses, costs, budget))
            assert (
                total(losses, _allocation.greedy(losses, costs, budget)) <= losses[:, index].sum()
            )


def test_budgets_of_many_units():
    rng = np.random.default_rng(6)
    sizes = rng.integers(10_000, 9_000_000, 6)
    scores = 10.0 ** rng.uniform(-3, 1, 6)
    costs, losses = sizes[:, None] * np.array(CHOICES), scores[:, None] * 4.0 ** -np.array(CHOICES)
    budget = int(3.3 * sizes.sum())
    found = _allocation.knapsack(losses, costs, budget)
    assert total(costs, found) <= budget
    assert total(losses, found) <= 1.001 * brute_force(losses, costs, budget)


def test_rising_losses_are_not_bought_and_free_steps_are_taken():
    losses = np.array([[1.0, 2.0, 0.5], [1.0, 1.5, 3.0]])
    costs = np.array([[10, 20, 30], [10, 20, 30]])
    assert _allocation.greedy(losses, costs, 100) == [2, 0]
    assert _allocation.knapsack(losses, costs, 100) == [2, 0]
    assert _allocation.greedy(np.array([[2.0, 1.0]]), np.array([[1, 1]]), 1) == [1]
