"""Extremes: official vector, brute force, and what the shape promises."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES, bounded_reference

# Made by running the official code on LOSSES.
OFFICIAL = {
    1.0: [0.2565382, 0.2190681, 0.1683803, 0.0994753, 0.2565382],
    0.4: [0.3208724, 0.2162222, 0.1119903, 0.0300428, 0.3208725],
}


def reference(losses, temperature=1.0, delta=1.0):
    return bounded_reference(losses, lambda position, delta: abs(position), temperature, delta)


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_official_vector(temperature):
    weights = ops.convert_to_numpy(kr.weightings.Extremes(temperature)(LOSSES))
    np.testing.assert_allclose(weights, OFFICIAL[temperature], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(reference(LOSSES, temperature), OFFICIAL[temperature], atol=2e-7)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_matches_brute_force(delta):
    losses = np.random.default_rng(3).gamma(2.0, size=17).astype("float32")
    weights = ops.convert_to_numpy(kr.weightings.Extremes(0.7, delta=delta)(losses))
    np.testing.assert_allclose(weights, reference(losses, 0.7, delta), rtol=1e-5)


def test_middle_of_the_range_counts_least():
    weights = ops.convert_to_numpy(kr.weightings.Extremes(0.4)(LOSSES))
    assert weights.argmin() == 3
