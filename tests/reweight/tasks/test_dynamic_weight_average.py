"""Weights from the rates of two epochs."""

import numpy as np

import keras_reweight as kr
from tests.reweight.tasks import solvers

#: Losses of two steps in each of four epochs.
LOSSES = np.array(
    [[[2.0, 10.0], [4.0, 10.0]], [[2.4, 9.0], [2.4, 9.0]], [[2.0, 3.0], [1.0, 1.0]], [[1, 1]] * 2],
    "float32",
)


def shown(losses):
    return [
        kr.tasks.TaskStatistics(step, None, None, None, np.int32(0), np.int32(epoch))
        for epoch, steps in enumerate(losses)
        for step in steps
    ]


def reference(losses, temperature):
    """Of each step."""
    means = np.asarray(losses, "float64").mean(axis=1)
    found = []
    for epoch in range(len(means)):
        if epoch < 2:
            weights = np.ones(means.shape[1])
        else:
            scores = np.exp(means[epoch - 1] / means[epoch - 2] / temperature)
            weights = means.shape[1] * scores / scores.sum()
        found += [weights] * losses.shape[1]
    return np.array(found)


def test_every_step_follows_the_formula():
    found, _ = solvers.run(kr.tasks.DynamicWeightAverage(0.7), shown(LOSSES))
    np.testing.assert_allclose(found, reference(LOSSES, 0.7), rtol=1e-5)


def test_the_known_ratios():
    losses = np.array([[[1.0, 1.0]], [[0.8, 0.9]], [[1.0, 1.0]]], "float32")
    found, _ = solvers.run(kr.tasks.DynamicWeightAverage(), shown(losses))
    np.testing.assert_allclose(found[-1], [0.975005, 1.024995], rtol=1e-5)
