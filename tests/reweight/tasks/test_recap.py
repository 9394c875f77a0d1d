"""Weights from two windows of losses."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.tasks import solvers

HISTORY = np.array([[1.0, 1.0], [0.8, 1.2], [0.5, 0.9], [0.4, 1.3]], "float32")


def shown(history):
    return [kr.tasks.TaskStatistics(row, None, None, None, 0, 0) for row in history]


def reference(history, temperature, alpha=None):
    """From a full window."""
    half = len(history) // 2
    old, new = (part.astype("float64") for part in (history[:half], history[half:]))
    change = new.mean(axis=0) / old.mean(axis=0)
    unrest = new.std(axis=0) / (new.mean(axis=0) + old.mean(axis=0))
    score = change + unrest if alpha is None else alpha * change + (1.0 - alpha) * unrest
    scores = np.exp(score / temperature)
    return history.shape[1] * scores / scores.sum()


@pytest.mark.parametrize(
    ("temperature", "known"), [(5.0, [0.944669, 1.055331]), (0.5, [0.496583, 1.503417])]
)
def test_the_known_window(temperature, known):
    found, _ = solvers.run(kr.tasks.RECAP(2, temperature=temperature), shown(HISTORY))
    np.testing.assert_allclose(found[:3], 1.0)
    np.testing.assert_allclose(found[3], known, rtol=2e-6)
    np.testing.assert_allclose(found[3], reference(HISTORY, temperature), rtol=1e-5)


def test_the_window_moves_and_alpha_mixes():
    later = np.concatenate([HISTORY, [[0.6, 1.1]]]).astype("float32")
    found, _ = solvers.run(kr.tasks.RECAP(2, temperature=0.5, alpha=0.25), shown(later))
    np.testing.assert_allclose(found[-1], reference(later[1:], 0.5, 0.25), rtol=1e-5)
