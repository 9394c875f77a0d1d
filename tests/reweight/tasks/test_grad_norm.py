"""Gradients of equal length."""

import numpy as np

import keras_reweight as kr
from tests.reweight.tasks import solvers

NORMS = np.array([[1.0, 4.0, 0.5], [1.2, 3.0, 0.6], [0.9, 2.0, 0.8]])
LOSSES = np.array([[2.0, 10.0, 1.0], [1.5, 9.9, 0.9], [1.0, 9.8, 0.2]])


def shown():
    return [
        kr.tasks.TaskStatistics(
            losses.astype("float32"), np.diag(norms**2).astype("float32"), None, None, 0, 0
        )
        for losses, norms in zip(LOSSES, NORMS, strict=True)
    ]


def objective(scores, norms, target):
    shares = np.exp(scores - scores.max())
    weights = len(scores) * shares / shares.sum()
    return np.abs(weights * norms - target).sum()


def reference(alpha, learning_rate):
    """Weights of each step; the gradient by central differences."""
    scores, found = np.zeros(3), []
    for losses, norms in zip(LOSSES, NORMS, strict=True):
        shares = np.exp(scores) / np.exp(scores).sum()
        weights = 3.0 * shares
        found.append(weights)
        rates = losses / LOSSES[0]
        target = (weights * norms).mean() * (rates / rates.mean()) ** alpha
        slope = [
            (objective(scores + h, norms, target) - objective(scores - h, norms, target)) / 2e-6
            for h in 1e-6 * np.eye(3)
        ]
        scores = scores - learning_rate * np.array(slope)
    return np.array(found)


def test_every_step_follows_the_gradient():
    found, _ = solvers.run(kr.tasks.GradNorm(1.5, learning_rate=0.05), shown())
    np.testing.assert_allclose(found, reference(1.5, 0.05), rtol=1e-5)


def test_lengths_become_equal_where_all_train_at_the_same_rate():
    steps = shown()[:1] * 400
    found, _ = solvers.run(kr.tasks.GradNorm(learning_rate=0.005), steps)
    lengths = found[-1] * NORMS[0]
    assert lengths.max() < 1.2 * lengths.min()
