"""Loops of a few steps inside a computation that is being traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

#: More copies of the body than these take longer to compile than a loop to run.
MOST_COPIES = 20


def repeated(steps: int, body: Callable[[Any, Any], Any], state: Any) -> Any:
    """`state = body(step, state)` for `step` in `range(steps)`.

    On JAX a few steps are written out one after the other: XLA runs convolutions inside of a loop
    on the CPU more than four times as slowly.

    Args:
        steps: Integer, known while tracing.
        body: Function of the number of the step (integer or int32 tensor) and the state, which
            returns the next state.
        state: Nested structure of tensors.
    """
    if keras.backend.backend() == "jax" and steps <= MOST_COPIES:
        for step in range(steps):
            state = body(step, state)
        return state
    return ops.fori_loop(0, steps, body, state)
