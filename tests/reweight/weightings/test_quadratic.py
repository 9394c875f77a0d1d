"""Quadratic: official vector, brute force, and what the shape promises."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES, bounded_reference

# Made by running the official code on LOSSES.
OFFICIAL = {
    1.0: [0.1251176, 0.1673543, 0.2432463, 0.3391642, 0.1251176],
    0.4: [0.0466468, 0.0965201, 0.2458335, 0.5643527, 0.0466468],
}


def reference(losses, temperature=1.0, delta=1.0):
    return bounded_reference(
        losses, lambda position, delta: 1 - (position / delta) ** 2, temperature, delta
    )


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_official_vector(temperature):
    weights = ops.convert_to_numpy(kr.weightings.Quadratic(temperature)(LOSSES))
    np.testing.assert_allclose(weights, OFFICIAL[temperature], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(reference(LOSSES, temperature), OFFICIAL[temperature], atol=2e-7)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_matches_brute_force(delta):
    losses = np.random.default_rng(3).gamma(2.0, size=17).astype("float32")
    weights = ops.convert_to_numpy(kr.weightings.Quadratic(0.7, delta=delta)(losses))
    np.testing.assert_allclose(weights, reference(losses, 0.7, delta), rtol=1e-5)


def test_easiest_and_hardest_count_alike_and_least():
    weights = ops.convert_to_numpy(kr.weightings.Quadratic(0.4)(LOSSES))
    np.testing.assert_allclose(weights[0], weights[-1], rtol=1e-6)
    assert weights[0] < weights[1:-1].min()
