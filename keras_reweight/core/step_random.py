"""Random numbers of a training step that are a function of a seed and the step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.src.backend import random_seed_dtype

# Knuth's multiplicative constant: torch seeds with the sum of both numbers, and neighboring seeds
# must not give the numbers of neighboring steps.
_SPREAD = 2654435761


class _StepSeed(keras.random.SeedGenerator):
    """A seed generator without a variable: what a loss owns is a constant in a jitted JAX step."""

    def __init__(self, seed: int, step: Any):
        self._seed, self._step = seed * _SPREAD % 2**31, step

    def next(self, ordered=True):
        dtype = random_seed_dtype()
        seed = ops.convert_to_tensor(self._seed, dtype=dtype)
        return ops.stack([seed, ops.reshape(ops.cast(self._step, dtype), ())])


def step_uniform(shape: Any, seed: int, step: Any):
    """Float32 tensor of uniform numbers in [0, 1), the same for the same `seed` and `step`.

    Args:
        shape: Shape of the result, static or, on TensorFlow, a tensor.
        seed: Integer, set by the user.
        step: Integer or integer tensor of shape `()`; may be traced.
    """
    return keras.random.uniform(shape, dtype="float32", seed=_StepSeed(seed, step))
