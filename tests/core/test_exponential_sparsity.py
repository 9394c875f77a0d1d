"""The same share of what is left in every round."""

import numpy as np
import pytest
from keras import ops

import keras_compress as kc


def reference(step, rate, round_steps, num_rounds, begin_step, staircase):
    """Prune the survivors round by round."""
    rounds = np.clip((step - begin_step) / round_steps, 0.0, num_rounds)
    whole = int(np.floor(rounds))
    density = np.prod(np.full(whole, 1.0 - rate))
    return 1.0 - (density if staircase else density * (1.0 - rate) ** (rounds - whole))


@pytest.mark.parametrize("staircase", [True, False])
def test_host_and_graph(staircase):
    arguments = {"rate": 0.2, "round_steps": 7, "num_rounds": 3, "begin_step": 2}
    schedule = kc.schedules.ExponentialSparsity(**arguments, staircase=staircase)
    for step in (0, 2, 8, 9, 15, 16, 22, 23, 24, 99):
        expected = reference(step, **arguments, staircase=staircase)
        np.testing.assert_allclose(schedule(step), expected, atol=1e-12)
        in_graph = schedule(ops.convert_to_tensor(step, dtype="int32"))
        np.testing.assert_allclose(ops.convert_to_numpy(in_graph), expected, atol=1e-6)


def test_twenty_rounds_of_a_fifth():
    schedule = kc.schedules.ExponentialSparsity(0.2, round_steps=1, num_rounds=20)
    assert schedule(20) == pytest.approx(1.0 - 0.8**20)
    assert schedule.end_step == 20
    assert schedule(19) < schedule(20) == schedule(21)
