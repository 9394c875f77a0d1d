"""The mean of gradients that harm no loss."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers


@pytest.mark.parametrize("count", [2, 4])
def test_as_a_solver_finds_it(count):
    gradients = np.random.default_rng(count).normal(size=(count, 5))
    gradients[0] -= gradients[1:].sum(axis=0)
    found = solvers.weights(kr.tasks.UPGrad(400), gradients)
    expected = solvers.unconflicting(gradients @ gradients.T)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    assert (gradients @ (found @ gradients)).min() > -1e-2


def test_without_conflict_it_is_the_mean():
    gradients = np.array([[1.0, 0.0, 0.0], [1.0, 2.0, 0.0]])
    np.testing.assert_allclose(solvers.weights(kr.tasks.UPGrad(), gradients), [0.5, 0.5], rtol=1e-6)


def test_the_scale_of_all_losses_does_not_matter_and_zeros_do_no_harm():
    gradients = np.array([[1.0, 0.0], [-1.0, 1.0]])
    small = solvers.weights(kr.tasks.UPGrad(), 1e-3 * gradients)
    np.testing.assert_allclose(small, solvers.weights(kr.tasks.UPGrad(), gradients), rtol=1e-4)
    np.testing.assert_allclose(solvers.weights(kr.tasks.UPGrad(), np.zeros((2, 2))), [0.5, 0.5])
