"""Constraints on losses."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.tasks.task_balancer import TaskBalancer


@keras.saving.register_keras_serializable(package="keras_reweight")
class Lagrangian(TaskBalancer):
    """Minimize some losses while others stay below a limit.

    A loss with a limit `c_k` has the multiplier `l_k` as its weight, and after every step
    `l_k = clip(l_k + learning_rate * (L_k - c_k), 0, maximum)`: it grows while the loss is above,
    and falls to zero while it is below. Losses without a limit have weight one.

    Use it in place of a hand-tuned weight where the level of the auxiliary loss is what is known.
    Multipliers that stop at `maximum` say that the limits cannot be reached.

    Args:
        limits: One entry a loss in the order of the tasks, a float, or `None` without a limit; or a
            float for all of them.
        learning_rate: Float > 0 of the multipliers. Defaults to `0.01`.
        maximum: Float > 0. Defaults to `1000.0`.
        momentum: Float in `[0, 1)`, share of the old value in the average of `L_k` that is compared
            with the limit. Defaults to `0.0`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range, no entry has a limit, or their number is not
            that of the losses.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.Lagrangian([None, 0.05], learning_rate=0.1)
    ```

    Reference:
        Dual ascent; for weights of objectives Moskovitz et al., "Confronting Reward Model
        Overoptimization with Constrained RLHF", ICLR 2024, arXiv 2310.04373, section 4.

    Deviations:
        The paper squashes multipliers by a sigmoid and gives the main objective what is left.

    Cost:
        None; one backward pass.
    """

    def __init__(
        self,
        limits: Sequence[float | None] | float,
        *,
        learning_rate: float = 0.01,
        maximum: float = 1000.0,
        momentum: float = 0.0,
    ):
        entries = limits if isinstance(limits, (list, tuple)) else [limits]
        for limit in entries:
            if limit is not None:
                check_number("limits", limit)
        if all(limit is None for limit in entries):
            raise ValueError(f"`limits`={limits!r} has no limit.")
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        check_number("maximum", maximum, exclusive_minimum=0.0)
        check_number("momentum", momentum, minimum=0.0, exclusive_maximum=1.0)
        self.limits = limits
        self.learning_rate = learning_rate
        self.maximum = maximum
        self.momentum = momentum

    def check(self, num_tasks):
        if isinstance(self.limits, (list, tuple)) and len(self.limits) != num_tasks:
            raise ValueError(f"`limits`={self.limits!r} must have one entry a loss, {num_tasks}.")

    def initial(self, num_tasks):
        return {
            "multipliers": np.zeros(num_tasks, "float32"),
            "average": np.zeros(num_tasks, "float32"),
            "count": np.zeros((), "float32"),
        }

    def weights(self, statistics, state):
        count = statistics.losses.shape[0]
        limits = self.limits if isinstance(self.limits, (list, tuple)) else [self.limits] * count
        limited = ops.convert_to_tensor([limit is not None for limit in limits])
        levels = [0.0 if limit is None else float(limit) for limit in limits]
        levels = ops.convert_to_tensor(levels, "float32")
        average = self.momentum * state["average"] + (1.0 - self.momentum) * statistics.losses
        average = ops.where(state["count"] > 0.0, average, statistics.losses)
        raised = state["multipliers"] + self.learning_rate * (average - levels)
        new = {
            "multipliers": ops.clip(raised, 0.0, self.maximum),
            "average": average,
            "count": state["count"] + 1.0,
        }
        return ops.where(limited, state["multipliers"], ops.ones_like(average)), new

    def get_config(self) -> dict:
        return {
            "limits": self.limits,
            "learning_rate": self.learning_rate,
            "maximum": self.maximum,
            "momentum": self.momentum,
        }
