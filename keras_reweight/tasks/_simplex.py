"""Small problems over weights, solved inside a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops


def onto_simplex(point: Any):
    """The nearest point with entries not negative that sum to one."""
    count = point.shape[0]
    ranks = ops.convert_to_tensor(np.arange(1, count + 1, dtype="float32"))
    return _onto_simplex(point, ranks)


def _onto_simplex(point, ranks):
    # Ascending on every backend, then turned round.
    falling = ops.flip(ops.sort(point), axis=0)
    # The shift by which the largest entries sum to one is greatest for the right number of them.
    return ops.relu(point - ops.max((ops.cumsum(falling) - 1.0) / ranks))


def momenta(iterations: int):
    """Of accelerated gradient descent, float32 of shape `(iterations,)`."""
    number = np.arange(iterations, dtype="float32")
    return ops.convert_to_tensor(number / (number + 3.0))


def projected_descent(slope: Callable[[Any], Any], bound: Any, count: int, iterations: int):
    """Accelerated projected gradient descent over the simplex from equal weights.

    `slope` gives the gradient, whose Lipschitz constant is at most `bound`.
    """
    begin = ops.full((count,), 1.0 / count, dtype="float32")
    rate = 1.0 / ops.maximum(bound, 1e-12)
    ranks = ops.convert_to_tensor(np.arange(1, count + 1, dtype="float32"))
    known = momenta(iterations)

    # Few operations: on torch each of them is a call of its own.
    def step(number, state):
        weights, ahead = state
        new = _onto_simplex(ahead - rate * slope(ahead), ranks)
        return new, new + known[number] * (new - weights)

    return ops.fori_loop(0, iterations, step, (begin, begin))[0]
