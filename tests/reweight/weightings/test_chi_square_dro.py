"""ChiSquareDRO: bisection for the threshold, and the properties of the solution."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES


def reference(losses, radius=0.5):
    """Bisect the threshold until the divergence is the radius."""
    losses = np.asarray(losses, "float64")
    n, high, span = len(losses), losses.max(), np.ptp(losses)
    tied = (losses == high).sum()
    if radius == 0 or span == 0:
        return np.full(n, 1 / n)
    if 1 + 2 * radius >= n / tied:
        return (losses == high) / tied
    below, above = high - span * 1e8, high
    for _ in range(200):
        eta = (below + above) / 2
        raw = np.maximum(losses - eta, 0)
        raw = raw / raw.sum() if raw.sum() > 0 else (losses == high) / tied
        if np.square(n * raw - 1).sum() / (2 * n) > radius:
            above = eta
        else:
            below = eta
    return raw


def weights(losses, radius, **arguments):
    return ops.convert_to_numpy(kr.weightings.ChiSquareDRO(radius)(losses, **arguments))


def test_by_hand():
    # Two losses: w = (1 -+ sqrt(2 radius)) / 2.
    found = weights(np.array([1.0, 3.0], "float32"), 0.08)
    np.testing.assert_allclose(found, [0.3, 0.7], rtol=1e-6)
    np.testing.assert_allclose(weights(LOSSES, 0.0), 0.2, rtol=1e-6)
    np.testing.assert_array_equal(weights(LOSSES, 2.0), [0, 0, 0, 0, 1])
    tied = np.array([3.0, 1.0, 3.0, 0.0], "float32")
    np.testing.assert_allclose(weights(tied, 0.5), [0.5, 0, 0.5, 0], atol=1e-7)


@pytest.mark.parametrize("radius", [1e-3, 0.1, 0.5, 1.0, 1.7, 5.0])
def test_matches_bisection(radius):
    rng = np.random.default_rng(0)
    for losses in (rng.gamma(2.0, size=2000), rng.integers(0, 5, size=37), rng.normal(size=5)):
        losses = losses.astype("float32")
        expected = reference(losses, radius)
        found = weights(losses, radius)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * expected.max())


@pytest.mark.parametrize("radius", [0.2, 1.0])
def test_on_the_boundary_of_the_ball_and_a_best_response(radius):
    rng = np.random.default_rng(1)
    losses = rng.normal(size=8).astype("float32")
    found = weights(losses, radius).astype("float64")
    np.testing.assert_allclose(np.square(8 * found - 1).mean() / 2, radius, rtol=1e-5)
    for _ in range(300):
        other = rng.dirichlet(np.full(8, 0.5))
        if np.square(8 * other - 1).mean() / 2 <= radius:
            assert (other * losses).sum() <= (found * losses).sum() + 1e-6


def test_one_outlier_and_losses_with_a_large_offset():
    losses = np.concatenate([LOSSES, [1e6]]).astype("float32")
    np.testing.assert_allclose(weights(losses, 0.5), reference(losses), atol=1e-6)
    moved = LOSSES + np.float32(1024)
    np.testing.assert_allclose(weights(moved, 0.5), reference(moved), rtol=1e-5, atol=1e-6)
