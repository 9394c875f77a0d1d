"""Upper: official vector, brute force, and what the shape promises."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES, bounded_reference

# Made by running the official code on LOSSES.
OFFICIAL = [0.1308788, 0.1416302, 0.1615473, 0.2101782, 0.3557655]


def reference(losses, temperature=1.0, delta=1.0):
    return bounded_reference(
        losses, lambda position, delta: (position + delta) / 2, temperature, delta
    )


def test_official_vector():
    weights = ops.convert_to_numpy(kr.weightings.Upper()(LOSSES))
    np.testing.assert_allclose(weights, OFFICIAL, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(reference(LOSSES), OFFICIAL, atol=2e-7)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_matches_brute_force(delta):
    losses = np.random.default_rng(3).gamma(2.0, size=17).astype("float32")
    weights = ops.convert_to_numpy(kr.weightings.Upper(0.7, delta=delta)(losses))
    np.testing.assert_allclose(weights, reference(losses, 0.7, delta), rtol=1e-5)


def test_higher_losses_count_more():
    weights = ops.convert_to_numpy(kr.weightings.Upper(0.4)(LOSSES))
    assert (np.diff(weights) > 0).all()
