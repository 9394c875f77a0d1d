"""Empirical probability targets against loops and the numbers of the official code."""

import numpy as np
import pytest

import keras_reweight as kr

PROBABILITY = np.array([0.1, 0.4, 0.35, 0.8, 0.7, 0.2, 0.95, 0.5, 0.6, 0.05])
OUTCOME = np.array([0, 1, 0, 1, 1, 0, 1, 0, 1, 0])
targets = kr.functional.empirical_probability_targets


def reference(
    probability,
    outcome,
    method="bin",
    num_bins=5,
    bandwidth=0.05,
    window=100,
    sample_weight=None,
):
    size = len(probability)
    weight = np.ones(size) if sample_weight is None else sample_weight
    order = sorted(range(size), key=lambda i: probability[i])
    found = np.zeros(size)
    for rank, i in enumerate(order):
        if method == "bin":
            (near,) = (
                order[int(b * size / num_bins) : int((b + 1) * size / num_bins)]
                for b in range(num_bins)
                if int(b * size / num_bins) <= rank < int((b + 1) * size / num_bins)
            )
            kernel = dict.fromkeys(near, 1.0)
        else:
            near = order[max(rank - window, 0) : rank + window]
            distance = {j: (probability[j] - probability[i]) / bandwidth for j in near}
            kernel = {j: np.exp(-0.5 * distance[j] ** 2) for j in near}
        total = sum(weight[j] * kernel[j] for j in near)
        found[i] = sum(weight[j] * kernel[j] * outcome[j] for j in near) / total
    return found


def test_numbers_of_the_official_code():
    found = targets(PROBABILITY, OUTCOME, method="bin", num_bins=5)
    np.testing.assert_allclose(found, [0, 0.5, 0, 1, 1, 0, 1, 0.5, 1, 0])
    found = targets(PROBABILITY, OUTCOME, method="kde", window=3, bandwidth=0.05)
    expected = [0, 0.574068, 0.372390, 1, 0.999736, 0.000290, 1, 0.211374, 0.893547, 0]
    np.testing.assert_allclose(found, expected, atol=5e-7)


def test_bins_keep_the_mean_outcome():
    found = targets(PROBABILITY, OUTCOME, num_bins=3)
    np.testing.assert_allclose(found.mean(), OUTCOME.mean())


def test_more_bins_than_samples_and_a_single_sample():
    np.testing.assert_array_equal(targets(PROBABILITY, OUTCOME, num_bins=50), OUTCOME)
    np.testing.assert_array_equal(targets([0.3], [1], num_bins=4), [1.0])
    np.testing.assert_array_equal(targets([0.3], [1], method="kde"), [1.0])


def test_ties_keep_the_order_of_the_samples():
    found = targets(np.full(4, 0.5), np.array([1, 1, 0, 0]), num_bins=2)
    np.testing.assert_array_equal(found, [1, 1, 0, 0])


@pytest.mark.parametrize("method", ["bin", "kde"])
def test_weights(method):
    weight = np.where(OUTCOME > 0, 3.0, 1.0)
    options = {"method": method, "num_bins": 2, "window": 3, "bandwidth": 0.2}
    found = targets(PROBABILITY, OUTCOME, sample_weight=weight, **options)
    expected = reference(PROBABILITY, OUTCOME, sample_weight=weight, **options)
    np.testing.assert_allclose(found, expected)
    plain = targets(PROBABILITY, OUTCOME, **options)
    same = targets(PROBABILITY, OUTCOME, sample_weight=np.full(10, 7.0), **options)
    np.testing.assert_allclose(same, plain)
    nothing = targets(PROBABILITY, OUTCOME, sample_weight=np.zeros(10), **options)
    np.testing.assert_allclose(nothing, plain)


def test_bad_arrays():
    with pytest.raises(ValueError, match="probability"):
        targets(PROBABILITY + 1, OUTCOME)
    with pytest.raises(ValueError, match="probability"):
        targets(np.array([0.1, np.nan]), [0, 1])
    with pytest.raises(ValueError, match="outcome"):
        targets(PROBABILITY, OUTCOME[:5])
    with pytest.raises(ValueError, match="sample_weight"):
        targets(PROBABILITY, OUTCOME, sample_weight=-np.ones(10))
