"""The shortest combination of gradients."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers


def test_two_losses_in_closed_form():
    gradients = np.array([[2.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(solvers.weights(kr.tasks.MGDA(), gradients), [0.2, 0.8], rtol=1e-6)
    one_way = np.array([[1.0, 0.0], [3.0, 0.0]])
    np.testing.assert_allclose(solvers.weights(kr.tasks.MGDA(), one_way), [1.0, 0.0])
    np.testing.assert_allclose(solvers.weights(kr.tasks.MGDA(), [[1.0, 2.0]] * 2), [0.5, 0.5])


@pytest.mark.parametrize("seed", [0, 1])
def test_more_losses_as_a_solver_finds_them(seed):
    gradients = np.random.default_rng(seed).normal(size=(4, 6)) * [[1.0], [3.0], [0.5], [1.0]]
    found = solvers.weights(kr.tasks.MGDA(300), gradients)
    expected = solvers.shortest(gradients @ gradients.T)
    assert found.min() >= 0.0 and found.sum() == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    # No loss rises along the step.
    assert (gradients @ (found @ gradients)).min() > -1e-2


def test_gradients_of_zero_give_finite_weights():
    assert np.isfinite(solvers.weights(kr.tasks.MGDA(), np.zeros((3, 2)))).all()
    assert np.isfinite(solvers.weights(kr.tasks.MGDA(), np.zeros((2, 2)))).all()
