"""Weights from inner products."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers

GRADIENTS = np.array([[1.0, 0.1], [0.9, 0.3], [-1.0, 0.4]])


def shown(steps=3):
    gram = (GRADIENTS @ GRADIENTS.T).astype("float32")
    return [kr.tasks.TaskStatistics(np.ones(3, "float32"), gram, None, None, 0, 0)] * steps


def reference(rate, minimum):
    """Weights of each step."""
    weights, found = np.full(3, 1.0 / 3.0), []
    for _ in range(3):
        weights = weights * np.exp(rate * (GRADIENTS @ GRADIENTS.sum(axis=0)))
        weights = weights / weights.sum()
        found.append((1.0 - minimum) * weights + minimum / 3.0)
    return np.array(found)


def test_every_step_follows_the_formula():
    found, _ = solvers.run(kr.tasks.GradientInfluence(0.3, minimum=0.1), shown())
    np.testing.assert_allclose(found, reference(0.3, 0.1), rtol=1e-5)


def test_the_loss_in_conflict_falls_below_its_share_and_minimum_holds_it():
    found, _ = solvers.run(kr.tasks.GradientInfluence(), shown(20))
    assert found[-1, 2] < 1.0 / 3.0
    held, _ = solvers.run(kr.tasks.GradientInfluence(5.0, minimum=0.3), shown(20))
    assert held[-1].min() == pytest.approx(0.1, rel=1e-3)
