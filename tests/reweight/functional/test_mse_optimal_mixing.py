"""mse_optimal_mixing: a search over shares, and the known optimum of independent errors."""

import numpy as np
from keras import ops

from keras_reweight.functional import mse_optimal_mixing


def estimates(num_estimates=4000, seed=0):
    rng = np.random.default_rng(seed)
    target = np.array([1.0, -2.0, 0.5])
    noisy = target + rng.normal(scale=2.0, size=(num_estimates, 3))
    biased = target + 0.8 + rng.normal(scale=0.3, size=(num_estimates, 3))
    return noisy.astype("float32"), biased.astype("float32"), target.astype("float32")


def error(share, first, second, target):
    mixture = share * first + (1 - share) * second
    return np.mean(np.square(mixture - target))


def reference(first, second, target=None):
    """The best of a fine grid of shares, made finer around the best."""
    target = first.mean(axis=0) if target is None else target
    low, high = 0.0, 1.0
    for _ in range(8):
        grid = np.linspace(low, high, 41)
        errors = [error(share, first, second, target) for share in grid]
        best = int(np.argmin(errors))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, 40)]
    return np.array((low + high) / 2)


def test_the_least_error_of_all_shares():
    first, second, target = estimates(50)
    for given in (target, None):
        found = float(ops.convert_to_numpy(mse_optimal_mixing(first, second, given)))
        expected = reference(first.astype("float64"), second.astype("float64"), given)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        goal = first.mean(axis=0) if given is None else given
        ends = [error(share, first, second, goal) for share in (0.0, 1.0)]
        assert error(found, first, second, goal) <= min(ends)


def test_independent_errors():
    found = float(ops.convert_to_numpy(mse_optimal_mixing(*estimates())))
    of_second = 0.8**2 + 0.3**2
    np.testing.assert_allclose(found, of_second / (of_second + 2.0**2), rtol=0.05)


def test_clipped_and_equal_estimators():
    first, second, target = estimates(20)
    worse = target + 3 * (first - target)
    assert float(mse_optimal_mixing(worse, first, target)) == 0.0
    assert float(mse_optimal_mixing(first, worse, target)) == 1.0
    assert float(mse_optimal_mixing(first, first)) == 0.5
