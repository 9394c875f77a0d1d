"""Weights that stay what they are."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.tasks.task_balancer import TaskBalancer


@keras.saving.register_keras_serializable(package="keras_reweight")
class FixedWeights(TaskBalancer):
    """The same weights in every step.

    What every other balancer is to be compared with, best with a few values on a grid.

    Args:
        values: Floats >= 0, one a loss in the order of the tasks, or `None` for ones. Defaults to
            `None`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If `values` are no numbers.
        ValueError: If one is negative, or their number is not that of the losses.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.FixedWeights([1.0, 0.1])
    ```

    Reference:
        None; linear scalarization.
    """

    def __init__(self, values: Sequence[float] | None = None):
        if values is not None:
            if not isinstance(values, (list, tuple)):
                raise TypeError(f"`values` must be a list of numbers or None, got {values!r}.")
            for value in values:
                check_number("values", value, minimum=0.0)
        self.values = values

    def check(self, num_tasks):
        if self.values is not None and len(self.values) != num_tasks:
            raise ValueError(f"`values`={self.values!r} must have one entry a loss, {num_tasks}.")

    def weights(self, statistics, state):
        ones = ops.ones_like(statistics.losses)
        if self.values is None:
            return ones, state
        return ones * ops.convert_to_tensor(self.values, "float32"), state

    def get_config(self) -> dict:
        return {"values": self.values}
