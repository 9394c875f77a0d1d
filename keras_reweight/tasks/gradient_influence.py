"""Weights from what each gradient does for the others."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.tasks.task_balancer import TaskBalancer


@keras.saving.register_keras_serializable(package="keras_reweight")
class GradientInfluence(TaskBalancer):
    """Multiplicative weights by the inner product of each gradient with the sum of all.

    `s_k = sum_j <g_k, g_j>`, `w = softmax(log w + rate * s)`: losses whose gradient helps the
    others gain weight. Long gradients gain as well, so bring losses to one scale first; nothing but
    `minimum` keeps the weights from collapsing onto one loss.

    Args:
        rate: Float > 0. Defaults to `0.1`.
        minimum: Float in `[0, 1)`, the share of equal weights that is always mixed in. Defaults to
            `0.0`.

    Returns:
        A balancer for `LossBalancing`; weights sum to one.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `rate` is not positive or `minimum` outside `[0, 1)`.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.GradientInfluence(0.1, minimum=0.1)
    ```

    Reference:
        Lu et al., "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward
        Weighting", arXiv 2509.11452, the gradient-based weights; `rate` is its learning rate
        divided by its regularization factor.

    Deviations:
        `minimum` is ours.

    Cost:
        `K` backward passes and `K^2` inner products.
    """

    needs = ("gram",)

    def __init__(self, rate: float = 0.1, *, minimum: float = 0.0):
        check_number("rate", rate, exclusive_minimum=0.0)
        check_number("minimum", minimum, minimum=0.0, exclusive_maximum=1.0)
        self.rate = rate
        self.minimum = minimum

    def initial(self, num_tasks):
        return {"logs": np.full(num_tasks, -np.log(num_tasks), "float32")}

    def weights(self, statistics, state):
        influence = ops.sum(statistics.gram, axis=1)
        # In logarithms: weights may become very small and come back.
        logs = ops.log_softmax(state["logs"] + self.rate * influence)
        shares = ops.exp(logs)
        weights = (1.0 - self.minimum) * shares + self.minimum / shares.shape[0]
        return weights, {"logs": logs}

    def get_config(self) -> dict:
        return {"rate": self.rate, "minimum": self.minimum}
