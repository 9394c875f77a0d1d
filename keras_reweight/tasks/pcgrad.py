"""Gradient surgery."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.counter_random import uniform_like
from keras_reweight.core.validation import check_integer
from keras_reweight.tasks.task_balancer import TaskBalancer

#: Keeps the division by the squared length of a gradient finite.
_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class PCGrad(TaskBalancer):
    """Project away from every gradient what opposes another one, then add them up.

    For the loss `i`, `g = g_i`; for every other `j`, in an order that is drawn in each step: if
    `<g, g_j> < 0`, `g = g - <g, g_j> / |g_j|^2 g_j`. The update is the sum over `i`. Only inner
    products are needed, as every `g` is a combination of the gradients. With two losses the order
    does not matter.

    Use it where losses conflict in direction; it does not make up for losses of other scales.

    Args:
        seed: Integer >= 0 for the orders. Defaults to `0`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If `seed` is not an integer.
        ValueError: If it is negative.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.PCGrad(seed=1)
    ```

    Reference:
        Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020, arXiv 2001.06782,
        algorithm 1.

    Cost:
        `K` backward passes and `K^2` inner products; `K^3` operations on numbers.
    """

    needs = ("gram",)

    def __init__(self, seed: int = 0):
        check_integer("seed", seed, minimum=0)
        self.seed = seed

    def weights(self, statistics, state):
        gram = statistics.gram
        count = gram.shape[0]
        drawn = uniform_like(gram, self.seed, statistics.step)
        # Row i holds the order in which the gradient i meets the others.
        order = ops.argsort(drawn, axis=1)
        combined = ops.convert_to_tensor(np.eye(count, dtype="float32"))
        own = ops.arange(count, dtype="int32")
        squares = ops.maximum(ops.diagonal(gram), _SMALLEST)
        for turn in range(count):
            other = ops.cast(order[:, turn], "int32")
            product = ops.sum(combined * ops.take(gram, other, axis=0), axis=1)
            opposed = ops.logical_and(product < 0.0, other != own)
            part = ops.where(opposed, product / ops.take(squares, other), ops.zeros_like(product))
            combined = combined - part[:, None] * ops.one_hot(other, count)
        return ops.sum(combined, axis=0), state

    def get_config(self) -> dict:
        return {"seed": self.seed}
