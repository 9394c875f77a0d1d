"""Multipliers of constrained losses."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.meta.models import steps
from tests.reweight.tasks import solvers


def shown(losses):
    rows = np.asarray(losses, "float32")
    return [kr.tasks.TaskStatistics(row, None, None, None, 0, 0) for row in rows]


def reference(losses, limits, learning_rate, maximum, momentum):
    """Weights of each step."""
    multipliers, average, found = np.zeros(len(limits)), None, []
    levels = np.array([0.0 if limit is None else limit for limit in limits])
    limited = np.array([limit is not None for limit in limits])
    for row in np.asarray(losses, "float64"):
        average = row if average is None else momentum * average + (1.0 - momentum) * row
        found.append(np.where(limited, multipliers, 1.0))
        multipliers = np.clip(multipliers + learning_rate * (average - levels), 0.0, maximum)
    return np.array(found)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_every_step_follows_the_formula(momentum):
    losses = [[3.0, 2.0, 0.4], [2.0, 1.5, 0.2], [1.0, 0.2, 0.1], [1.0, 0.1, 0.9], [1.0, 9.0, 0.0]]
    options = {"learning_rate": 0.5, "maximum": 1.0, "momentum": momentum}
    found, _ = solvers.run(kr.tasks.Lagrangian([None, 0.5, 0.3], **options), shown(losses))
    expected = reference(losses, [None, 0.5, 0.3], **options)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert expected[:, 1].max() == 1.0


def test_a_loss_in_conflict_ends_at_its_limit():
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), dense])
    dense.kernel.assign([[0.0]])
    trainer = kr.tasks.LossBalancing(
        model,
        kr.tasks.Lagrangian([None, 0.25], learning_rate=0.2),
        objectives={
            "main": lambda predict, x, y: ops.mean(ops.square(predict(x) - 2.0)),
            "bound": lambda predict, x, y: ops.mean(ops.square(predict(x))),
        },
    )
    trainer.compile(keras.optimizers.SGD(0.1), **steps())
    trainer.fit(np.ones((60, 1), "float32"), batch_size=1, verbose=0)
    # w^2 <= 0.25 while (w - 2)^2 falls: w = 0.5, where the multiplier is 3.
    assert float(ops.convert_to_numpy(dense.kernel)[0, 0]) == pytest.approx(0.5, rel=0.1)
    assert trainer.task_weights["bound"] > 1.0
