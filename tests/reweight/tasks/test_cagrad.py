"""Near the mean gradient, good for the worst loss."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers


@pytest.mark.parametrize("count", [2, 3])
def test_as_a_solver_finds_it(count):
    gradients = np.random.default_rng(count).normal(size=(count, 5))
    gradients[0] *= 4.0
    found = solvers.weights(kr.tasks.CAGrad(0.5, iterations=400), gradients)
    expected = solvers.conflict_averse(gradients @ gradients.T, 0.5)
    np.testing.assert_allclose(found @ gradients, expected @ gradients, atol=2e-2)


def test_without_c_it_is_the_mean():
    gradients = np.array([[1.0, 0.0], [-3.0, 1.0]])
    np.testing.assert_allclose(solvers.weights(kr.tasks.CAGrad(0.0), gradients), [0.5, 0.5])


def test_it_stays_within_its_distance_of_the_mean():
    gradients = np.array([[1.0, 0.2], [-0.5, 1.0], [0.1, -0.3]])
    mean = gradients.mean(axis=0)
    update = solvers.weights(kr.tasks.CAGrad(0.4), gradients) @ gradients * (1.0 + 0.4**2)
    distance = np.linalg.norm(update - mean)
    assert distance == pytest.approx(0.4 * np.linalg.norm(mean), rel=1e-3)


def test_gradients_of_zero_give_finite_weights():
    assert np.isfinite(solvers.weights(kr.tasks.CAGrad(), np.zeros((3, 2)))).all()
