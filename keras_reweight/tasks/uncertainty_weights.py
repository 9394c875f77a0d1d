"""Weights learned as the noise of each task."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.tasks.task_balancer import TaskBalancer


@keras.saving.register_keras_serializable(package="keras_reweight")
class UncertaintyWeights(TaskBalancer):
    """Weights trained with the model, as the inverse variance of the noise of each task.

    With one trained number `s_k`, the logarithm of the variance, the model minimizes
    `sum_k L_k / (2 exp(s_k)) + s_k / 2`, with `classification=True`
    `sum_k L_k / exp(s_k) + s_k / 2`. Where a loss stays at `L`, its weight becomes `1 / (2 L)`: the
    scale of losses cancels, and tasks with a high remaining loss count little. The total may be
    negative. The compiled optimizer trains the numbers; without weight decay on them is better.

    Args:
        classification: Boolean, the form for cross-entropies. Defaults to `False`.
        initial_log_variance: Float, `s_k` at the start. Defaults to `-0.5`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If `classification` is not a boolean or `initial_log_variance` not a number.
        ValueError: If `initial_log_variance` is not finite.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.UncertaintyWeights()
    ```

    Reference:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses", CVPR
        2018, arXiv 1705.07115, equations 7 and 10; first value as in LibMTL.

    Cost:
        One backward pass; one trained number a loss.
    """

    def __init__(self, *, classification: bool = False, initial_log_variance: float = -0.5):
        check_boolean("classification", classification)
        check_number("initial_log_variance", initial_log_variance)
        self.classification = classification
        self.initial_log_variance = initial_log_variance

    def learned(self, num_tasks):
        return {"log_variance": np.full(num_tasks, self.initial_log_variance, "float32")}

    def combined(self, losses, learned):
        noise = learned["log_variance"]
        return ops.sum(self._precision(noise) * losses + 0.5 * noise)

    def weights(self, statistics, state):
        return self._precision(state["log_variance"]), state

    def _precision(self, log_variance):
        return (1.0 if self.classification else 0.5) * ops.exp(-log_variance)

    def get_config(self) -> dict:
        return {
            "classification": self.classification,
            "initial_log_variance": self.initial_log_variance,
        }
