"""KLDRO: reference vector, brute force, and the gradient its weights stand for."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.weightings.bounded import LOSSES

# Batch size times the weights, and the value of the inner maximum, for LOSSES.
EXPECTED = {
    1.0: ([0.090373, 0.121991, 0.201129, 0.546725, 4.039782], 2.603809),
    0.5: ([0.002448, 0.00446, 0.012125, 0.089589, 4.891379], 3.206263),
    2.0: ([0.390651, 0.453871, 0.582782, 0.960846, 2.61185], 2.079884),
}


def reference(losses, temperature=1.0):
    values = [np.exp((loss - max(losses)) / temperature) for loss in losses]
    return np.array(values) / sum(values)


@pytest.mark.parametrize("temperature", EXPECTED)
def test_reference_vector(temperature):
    weighting = kr.weightings.KLDRO(temperature)
    weights = ops.convert_to_numpy(weighting.sample_weights(LOSSES))
    np.testing.assert_allclose(weights, EXPECTED[temperature][0], rtol=1e-5, atol=6e-7)
    w = weights.astype("float64") / 5
    value = (w * LOSSES).sum() - temperature * (w * np.log(5 * w)).sum()
    np.testing.assert_allclose(value, EXPECTED[temperature][1], rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_weights_are_the_gradient_of_the_log_mean_exp(temperature):
    def objective(losses):
        return temperature * ops.logsumexp(losses / temperature)

    weights = ops.convert_to_numpy(kr.weightings.KLDRO(temperature)(LOSSES))
    np.testing.assert_allclose(weights, gradient(objective, LOSSES), rtol=1e-5)


def test_limits_of_the_temperature():
    hard = ops.convert_to_numpy(kr.weightings.KLDRO(1e-3)(LOSSES * 1e6))
    np.testing.assert_array_equal(hard, [0, 0, 0, 0, 1])
    soft = ops.convert_to_numpy(kr.weightings.KLDRO(1e6)(LOSSES))
    np.testing.assert_allclose(soft, 0.2, rtol=1e-5)
