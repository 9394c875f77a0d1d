"""CVaR: the linear program it solves, ties and whole or broken numbers of samples."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES


def reference(losses, alpha=0.5):
    """Hand out at most `1 / (alpha n)` from the top, equally among equal losses."""
    losses = np.asarray(losses, "float64")
    weights = np.zeros(len(losses))
    bound, left = 1 / (alpha * len(losses)), 1.0
    for value in sorted(set(losses), reverse=True):
        tied = losses == value
        share = min(bound, left / tied.sum())
        weights[tied] = share
        left -= share * tied.sum()
        if left < 1e-12:
            break
    return weights


def weights(losses, alpha, **arguments):
    return ops.convert_to_numpy(kr.weightings.CVaR(alpha)(losses, **arguments))


def test_by_hand():
    np.testing.assert_allclose(weights(LOSSES, 0.5), [0, 0, 0.2, 0.4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(weights(LOSSES, 0.4), [0, 0, 0, 0.5, 0.5], rtol=1e-6)
    np.testing.assert_allclose(weights(LOSSES, 1.0), 0.2, rtol=1e-6)
    np.testing.assert_array_equal(weights(LOSSES, 0.05), [0, 0, 0, 0, 1])
    tied = np.array([3.0, 1.0, 3.0, 3.0, 0.0], "float32")
    np.testing.assert_allclose(weights(tied, 0.4), [1 / 3, 0, 1 / 3, 1 / 3, 0], rtol=1e-6)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.29, 0.3, 0.37, 0.7, 0.99, 1.0])
def test_matches_the_reference(alpha):
    rng = np.random.default_rng(0)
    for losses in (rng.gamma(2.0, size=100), rng.integers(0, 5, size=37), rng.normal(size=3)):
        losses = losses.astype("float32")
        expected = reference(losses, alpha)
        np.testing.assert_allclose(weights(losses, alpha), expected, rtol=2e-5, atol=1e-6)


def test_no_other_feasible_weights_have_a_larger_loss():
    rng = np.random.default_rng(1)
    losses = rng.normal(size=8).astype("float32")
    best = (weights(losses, 0.3) * losses).sum()
    for _ in range(200):
        other = rng.dirichlet(np.full(8, 0.3))
        if other.max() <= 1 / (0.3 * 8):
            assert (other * losses).sum() <= best + 1e-6


def test_tokens_share_one_tail():
    losses = LOSSES[None, :].repeat(2, axis=0)
    mask = np.array([[True] * 5, [False] * 5])
    found = weights(losses, 0.5, mask=mask)
    np.testing.assert_allclose(found, [[0, 0, 0.2, 0.4, 0.4], [0] * 5], rtol=1e-6)
