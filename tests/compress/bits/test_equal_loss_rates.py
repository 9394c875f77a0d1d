"""Rates in closed form: equal losses, the mean, and no better rates nearby."""

import numpy as np
import pytest

import keras_compress as kc

LOSSES = np.array([0.3, 2.0, 17.0, 0.01, 2.0])
SIZES = np.array([10, 200, 30, 1000, 5])


def reference(losses, mean_bits, sizes=None):
    """`R_ref + log2(c / geomean c) / 2` of losses for each weight."""
    sizes = np.ones(len(losses)) if sizes is None else np.asarray(sizes, "float64")
    each = np.asarray(losses, "float64") / sizes
    geometric = np.prod(each ** (sizes / sizes.sum()))
    return mean_bits + 0.5 * np.log2(each / geometric)


def test_losses_are_equal_and_the_mean_is_kept():
    rates = kc.bits.equal_loss_rates(LOSSES, 3.0)
    np.testing.assert_allclose(rates, reference(LOSSES, 3.0), rtol=1e-12)
    np.testing.assert_allclose(rates.mean(), 3.0)
    after = LOSSES * 4.0**-rates
    np.testing.assert_allclose(after, after[0], rtol=1e-12)
    np.testing.assert_allclose(kc.bits.equal_loss_rates(7 * LOSSES, 3.0), rates, rtol=1e-12)


def test_parts_of_other_sizes_lose_the_same_for_each_weight():
    rates = kc.bits.equal_loss_rates(LOSSES, 3.0, sizes=SIZES)
    np.testing.assert_allclose(rates, reference(LOSSES, 3.0, SIZES), rtol=1e-12)
    np.testing.assert_allclose(np.average(rates, weights=SIZES), 3.0)
    after = LOSSES * 4.0**-rates / SIZES
    np.testing.assert_allclose(after, after[0], rtol=1e-12)


def test_no_other_rates_of_the_same_mean_lose_less():
    best = kc.bits.equal_loss_rates(LOSSES, 2.5, sizes=SIZES)
    least = np.sum(LOSSES * 4.0**-best)
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = best + 0.3 * rng.normal(size=5)
        other += 2.5 - np.average(other, weights=SIZES)
        assert np.sum(LOSSES * 4.0**-other) >= least


def test_arguments():
    for losses, options, error, name in (
        ([1.0, 0.0], {}, ValueError, "losses"),
        ([], {}, ValueError, "losses"),
        ("two", {}, TypeError, "losses"),
        ([1.0], {"sizes": [1, 2]}, ValueError, "sizes"),
        ([1.0], {"sizes": [-1]}, ValueError, "sizes"),
    ):
        with pytest.raises(error, match=name):
            kc.bits.equal_loss_rates(losses, 3.0, **options)
