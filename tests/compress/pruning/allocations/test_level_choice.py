import itertools

import numpy as np
import pytest

from keras_compress.pruning.allocations.level_choice import choose_levels


def reference(distortions, costs, budget):
    """Every combination."""
    best = np.inf
    for levels in itertools.product(*[range(len(cost)) for cost in costs]):
        if sum(cost[i] for cost, i in zip(costs, levels, strict=True)) <= budget:
            total = sum(d[i] for d, i in zip(distortions, levels, strict=True))
            best = min(best, total)
    return best


def _sum(arrays, levels):
    return sum(array[i] for array, i in zip(arrays, levels, strict=True))


def test_not_worse_than_the_official_choice_of_its_vector():
    amounts = np.arange(11) / 10
    distortions = [8 * amounts**2, amounts**2, 2 * amounts**4]
    costs = [np.round(n * (1 - amounts)) for n in (20, 40, 60)]
    budget = int(0.6 * 120)
    official = [1, 4, 5]
    levels = choose_levels(distortions, costs, budget)
    assert _sum(costs, levels) <= budget
    assert _sum(distortions, levels) <= _sum(distortions, official) + 1e-12
    assert _sum(distortions, levels) == pytest.approx(reference(distortions, costs, budget))


def test_exact_on_random_curves_that_need_not_be_monotone():
    generator = np.random.default_rng(0)
    for _ in range(20):
        costs = [np.sort(generator.choice(60, 5, replace=False))[::-1] for _ in range(4)]
        distortions = [generator.random(5) for _ in range(4)]
        budget = int(generator.integers(sum(c.min() for c in costs), sum(c.max() for c in costs)))
        levels = choose_levels(distortions, costs, budget)
        assert _sum(costs, levels) <= budget
        assert _sum(distortions, levels) == pytest.approx(reference(distortions, costs, budget))


def test_a_coarse_budget_is_kept_and_almost_as_good():
    generator = np.random.default_rng(1)
    amounts = np.linspace(0, 1, 21)
    sizes = generator.integers(10**5, 10**7, size=8)
    costs = [size * (1 - amounts) for size in sizes]
    distortions = [generator.random() * amounts ** generator.integers(1, 5) for _ in sizes]
    fine, coarse = (choose_levels(distortions, costs, 0.3 * sizes.sum(), n) for n in (40_000, 400))
    assert _sum(costs, coarse) <= 0.3 * sizes.sum()
    assert _sum(distortions, coarse) <= 1.05 * _sum(distortions, fine)


def test_the_cheapest_always_fits_and_less_is_refused():
    costs = [np.array([9.0, 3.0]), np.array([5.0, 1.0])]
    distortions = [np.array([0.0, 1.0]), np.array([0.0, 1.0])]
    assert choose_levels(distortions, costs, 4) == [1, 1]
    assert choose_levels(distortions, costs, 14) == [0, 0]
    with pytest.raises(ValueError, match="budget"):
        choose_levels(distortions, costs, 3)
