"""Weights from the magnitudes of gradients."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers

RESIDUAL = [np.array([[1.0, -3.0], [2.0, 0.5]]), np.array([[4.0], [-1.0]])]
BOUNDARY = [np.array([[0.1, 0.2], [-0.1, 0.0]]), np.array([[0.3], [0.1]])]


def magnitudes(gradients):
    largest = [[np.abs(part).max() for part in one] for one in gradients]
    mean = [[np.abs(part).mean() for part in one] for one in gradients]
    return np.array(largest, "float32"), np.array(mean, "float32")


def shown(count, start=0):
    largest, mean = magnitudes([RESIDUAL, BOUNDARY])
    losses = np.ones(2, "float32")
    return [
        kr.tasks.TaskStatistics(losses, None, largest, mean, np.int32(start + step), np.int32(0))
        for step in range(count)
    ]


def reference(steps, alpha, every, denominator):
    """The weight of the boundary in each step."""
    weight, found = 1.0, []
    for step in range(steps):
        found.append(weight)
        if step % every == 0:
            mean = 0.15 * (weight if denominator == "weighted" else 1.0)
            weight = (1.0 - alpha) * weight + alpha * 4.0 / mean
    return np.array(found)


@pytest.mark.parametrize("denominator", ["weighted", "plain"])
def test_every_step_follows_the_formula(denominator):
    balancer = kr.tasks.GradientAnnealing(0.1, every=2, denominator=denominator)
    found, state = solvers.run(balancer, shown(5))
    np.testing.assert_allclose(found[:, 0], 1.0)
    np.testing.assert_allclose(found[:, 1], reference(5, 0.1, 2, denominator), rtol=1e-5)
    assert found[1, 1] == pytest.approx(3.566667, rel=1e-6)
    assert state["weights"][0] == 1.0


def test_what_is_found_is_clipped():
    balancer = kr.tasks.GradientAnnealing(1.0, every=1, clip=(0.5, 3.0))
    found, _ = solvers.run(balancer, shown(3))
    np.testing.assert_allclose(found[1:, 1], 3.0)
