"""Weights from the rate at which losses fall."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.tasks.task_balancer import TaskBalancer

_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class DynamicWeightAverage(TaskBalancer):
    """Losses that fell least from one epoch to the next get the largest weights.

    `w = K softmax(r / temperature)`, `r_k` the mean of the loss over the last epoch divided by that
    over the epoch before; ones in the first two epochs. Scales of losses cancel.

    Args:
        temperature: Float > 0; larger is closer to equal weights. Defaults to `2.0`.

    Returns:
        A balancer for `LossBalancing`; weights sum to the number of losses.

    Raises:
        TypeError: If `temperature` is not a number.
        ValueError: If it is not positive.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.DynamicWeightAverage(temperature=2.0)
    ```

    Reference:
        Liu et al., "End-to-End Multi-Task Learning with Attention", CVPR 2019, arXiv 1803.10704,
        equation 7.

    Cost:
        None; one backward pass.
    """

    def __init__(self, temperature: float = 2.0):
        check_number("temperature", temperature, exclusive_minimum=0.0)
        self.temperature = temperature

    def initial(self, num_tasks):
        return {
            "epoch": np.zeros((), "float32"),
            "count": np.zeros((), "float32"),
            "sum": np.zeros(num_tasks, "float32"),
            "last": np.zeros(num_tasks, "float32"),
            "before": np.zeros(num_tasks, "float32"),
        }

    def weights(self, statistics, state):
        epoch = ops.cast(statistics.epoch, "float32")
        begins = ops.logical_and(epoch != state["epoch"], state["count"] > 0.0)
        mean = state["sum"] / ops.maximum(state["count"], 1.0)
        last = ops.where(begins, mean, state["last"])
        before = ops.where(begins, state["last"], state["before"])
        total = ops.where(begins, 0.0 * mean, state["sum"]) + statistics.losses
        count = ops.where(begins, 0.0 * state["count"], state["count"]) + 1.0
        ratio = last / ops.maximum(before, _SMALLEST)
        found = last.shape[0] * ops.softmax(ratio / self.temperature)
        known = ops.logical_and(ops.all(before > 0.0), epoch >= 2.0)
        new = {"epoch": epoch, "count": count, "sum": total, "last": last, "before": before}
        return ops.where(known, found, ops.ones_like(found)), new

    def get_config(self) -> dict:
        return {"temperature": self.temperature}
