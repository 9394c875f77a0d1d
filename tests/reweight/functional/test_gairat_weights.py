"""gairat_weights: official vectors and weights that underflow."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.functional import gairat_weights

KAPPA = np.array([0, 3, 5, 8, 10])
# Made by running the official code on KAPPA with ten steps and a shift of -1.
OFFICIAL = {
    "tanh": [2.4991541, 2.2019858, 0.2980064, 0.0008383, 0.0000153],
    "sigmoid": [2.452003, 1.8253897, 0.6715233, 0.04491, 0.0061739],
    "discrete": [1.8965516, 1.3793104, 1.0344827, 0.5172414, 0.1724138],
}


def reference(kappa, num_steps, shift=-1.0, kind="tanh"):
    half = num_steps // 2
    weights = []
    for survived in np.asarray(kappa, "float64"):
        if kind == "discrete":
            weights.append((num_steps + 1 - survived) / (num_steps + 1))
            continue
        a = shift + 5 * (half - survived) / half
        weights.append((np.tanh(a) + 1) / 2 if kind == "tanh" else 1 / (1 + np.exp(-a)))
    return np.array(weights) / np.mean(weights)


@pytest.mark.parametrize("kind", OFFICIAL)
def test_official_vector(kind):
    found = ops.convert_to_numpy(gairat_weights(KAPPA, 10, kind=kind))
    np.testing.assert_allclose(found, OFFICIAL[kind], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(reference(KAPPA, 10, kind=kind), OFFICIAL[kind], atol=2e-7)


def test_a_large_shift_gives_equal_weights_and_a_low_one_no_zeros():
    np.testing.assert_allclose(ops.convert_to_numpy(gairat_weights(KAPPA, 10, shift=1e3)), 1.0)
    low = ops.convert_to_numpy(gairat_weights(np.array([10, 10, 9]), 10, shift=-1e3))
    ratio = np.exp(-2.0)  # one step more, two in the exponent
    expected = np.array([ratio, ratio, 1.0])
    np.testing.assert_allclose(low, expected / expected.mean(), rtol=1e-3)


def test_one_step_has_no_middle():
    with pytest.raises(ValueError, match="num_steps"):
        gairat_weights(np.array([0, 1]), 1)
    found = ops.convert_to_numpy(gairat_weights(np.array([0, 1]), 1, kind="discrete"))
    np.testing.assert_allclose(found, [4 / 3, 2 / 3], rtol=1e-6)
