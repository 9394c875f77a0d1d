"""Random numbers from a seed and a step: Keras must take our seed, also a traced one."""

import keras
import numpy as np
from keras import ops

from keras_reweight.core.step_random import step_uniform
from keras_reweight.core.testing.backends import Compiled


def draw(seed, step, shape=(40, 5)):
    return ops.convert_to_numpy(step_uniform(shape, seed, step))


def test_numbers_are_uniform_and_a_function_of_seed_and_step():
    first = draw(3, 7, (2000,))
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() < 1
    assert abs(first.mean() - 0.5) < 0.05 and abs(first.std() - 12**-0.5) < 0.02
    np.testing.assert_array_equal(first, draw(3, 7, (2000,)))


def test_other_seeds_and_steps_give_other_numbers():
    drawn = [draw(seed, step) for seed in (0, 1, 2) for step in (0, 1, 2)]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert np.mean(one == other) < 0.1


def test_a_traced_step_gives_the_same_numbers():
    def function(step):
        return step_uniform((40, 5), 3, step)

    if keras.backend.backend() == "torch":
        # Keras seeds torch on the host, outside the graph, which tensors without values cannot.
        import torch

        compiled = torch.compile(function, backend="eager")
    else:
        compiled = Compiled(function)
    for step in (1, 2):
        found = compiled(ops.convert_to_tensor(step, dtype="int32"))
        np.testing.assert_array_equal(ops.convert_to_numpy(found), draw(3, step))
    assert getattr(compiled, "traces", 1) == 1
