import math

import numpy as np
import pytest
from scipy import stats

from keras_reweight.core.kendall_tau import kendall_tau

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [2, 3, 7, 20, 33, 34, 60])
@pytest.mark.parametrize("ties", [False, True])
def test_scipy_agrees(size, ties):
    x, y = RNG.normal(size=(2, size))
    y = y + 0.3 * x
    if ties:
        x, y = np.round(2 * x), np.round(2 * y)
        x[0], y[-1] = x[0] + 9, y[-1] + 9
    found = kendall_tau(x, y)
    untied = len(np.unique(x)) == len(np.unique(y)) == size
    method = "exact" if untied and size <= 33 else "asymptotic"
    expected = stats.kendalltau(x, y, method=method)
    np.testing.assert_allclose(found, (expected.statistic, expected.pvalue), rtol=1e-9, atol=1e-14)


def test_perfect_orders():
    found = kendall_tau(np.arange(6), np.arange(6) ** 3)
    assert found == (1.0, pytest.approx(2 / math.factorial(6)))
    assert kendall_tau(np.arange(6), -np.arange(6))[0] == -1.0


def test_a_constant_has_no_rank():
    assert all(map(math.isnan, kendall_tau([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])))


def test_bad_vectors_are_refused():
    for bad, error in (
        (np.ones(2), ValueError),
        (["a"] * 3, TypeError),
        ([1, np.nan, 2], ValueError),
    ):
        with pytest.raises(error, match="`y`"):
            kendall_tau([1.0, 2.0, 3.0], bad)
