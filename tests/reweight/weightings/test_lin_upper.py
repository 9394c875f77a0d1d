"""LinUpper: official vector, brute force, and what the shape promises."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES, bounded_reference

# Made by running the official code on LOSSES.
OFFICIAL = {
    1.0: [0.1112124, 0.1302345, 0.1694393, 0.2868073, 0.3023067],
    0.4: [0.0354457, 0.0526012, 0.1015583, 0.3785781, 0.4318167],
}


def reference(losses, temperature=1.0, delta=1.0):
    return bounded_reference(
        losses, lambda position, delta: min(position + delta, delta), temperature, delta
    )


@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_official_vector(temperature):
    weights = ops.convert_to_numpy(kr.weightings.LinUpper(temperature)(LOSSES))
    np.testing.assert_allclose(weights, OFFICIAL[temperature], rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(reference(LOSSES, temperature), OFFICIAL[temperature], atol=2e-7)


@pytest.mark.parametrize("delta", [0.5, 2.0])
def test_matches_brute_force(delta):
    losses = np.random.default_rng(3).gamma(2.0, size=17).astype("float32")
    weights = ops.convert_to_numpy(kr.weightings.LinUpper(0.7, delta=delta)(losses))
    np.testing.assert_allclose(weights, reference(losses, 0.7, delta), rtol=1e-5)


def test_flat_above_the_middle_of_the_range():
    weights = ops.convert_to_numpy(kr.weightings.LinUpper(0.4)(np.array([0.0, 2.0, 3.0, 4.0])))
    np.testing.assert_allclose(weights[1:], weights[1], rtol=1e-6)
    assert weights[0] < weights[1]
