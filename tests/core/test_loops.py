"""Loops give what a Python loop gives, written out or not."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.loops import MOST_COPIES, repeated
from keras_reweight.core.testing.backends import evaluate


@pytest.mark.parametrize("steps", [0, 1, 3, MOST_COPIES, MOST_COPIES + 5])
def test_it_repeats_the_body_with_the_number_of_the_step(steps):
    def loop(x):
        return repeated(
            steps,
            lambda step, state: (state[0] + ops.cast(step, "float32"), 0.5 * state[1] + state[0]),
            (x, ops.zeros_like(x)),
        )

    first, second = np.ones(3, "float32"), np.zeros(3, "float32")
    for step in range(steps):
        first, second = first + step, 0.5 * second + first
    for found, expected in zip(evaluate(loop, np.ones(3, "float32")), (first, second), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
