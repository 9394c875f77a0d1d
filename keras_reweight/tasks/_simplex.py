"""Small problems over weights, solved inside a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops


def onto_simplex(point: Any):
    """The nearest point with entries not negative that sum to one."""
    count = point.shape[0]
    # Ascending on every backend, then turned round.
    falling = ops.flip(ops.sort(point), axis=0)
    ranks = ops.convert_to_tensor(np.arange(1, count + 1, dtype="float32"))
    thresholds = (ops.cumsum(falling) - 1.0) / ranks
    last = ops.sum(ops.cast(falling > thresholds, "int32")) - 1
    return ops.maximum(point - ops.take(thresholds, last), 0.0)


def projected_descent(slope: Callable[[Any], Any], bound: Any, count: int, iterations: int):
    """Accelerated projected gradient descent over the simplex from equal weights.

    `slope` gives the gradient, whose Lipschitz constant is at most `bound`.
    """
    begin = ops.full((count,), 1.0 / count, dtype="float32")
    rate = 1.0 / ops.maximum(bound, 1e-12)

    def step(number, state):
        weights, ahead = state
        new = onto_simplex(ahead - rate * slope(ahead))
        momentum = ops.cast(number, "float32") / (ops.cast(number, "float32") + 3.0)
        return new, new + momentum * (new - weights)

    return ops.fori_loop(0, iterations, step, (begin, begin))[0]
