"""Gradients of equal length for losses that train at the same rate."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.tasks.task_balancer import TaskBalancer

_SMALLEST = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class GradNorm(TaskBalancer):
    """Weights that make gradients equally long, longer for losses that fall more slowly.

    With the weights `w = K softmax(s)`, the lengths `G_k = w_k |g_k|` of the gradients by the
    shared weights (best the last shared layer: `shared=`), and the inverse training rate
    `r_k = (L_k / L_k(0)) / mean`, every step moves `s` against the gradient of
    `sum_k |G_k - mean(G) r_k^alpha|`, the target held constant. `L_k(0)` is the loss of the first
    step.

    Args:
        alpha: Float >= 0; larger pulls slow losses more. Defaults to `1.5`.
        learning_rate: Float > 0 of `s`. Defaults to `0.025`.

    Returns:
        A balancer for `LossBalancing`; weights sum to the number of losses.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `alpha` is negative or `learning_rate` not positive.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.GradNorm(alpha=1.5)
    ```

    Reference:
        Chen et al., "GradNorm", ICML 2018, arXiv 1711.02257, equations 1 and 2; weights by a
        softmax as in LibMTL, which keeps them positive.

    Deviations:
        The paper trains `w` and divides by its sum afterwards; plain gradient descent here.

    Cost:
        `K` backward passes; one for a single shared layer would do.
    """

    needs = ("gram",)

    def __init__(self, alpha: float = 1.5, *, learning_rate: float = 0.025):
        check_number("alpha", alpha, minimum=0.0)
        check_number("learning_rate", learning_rate, exclusive_minimum=0.0)
        self.alpha = alpha
        self.learning_rate = learning_rate

    def initial(self, num_tasks):
        zeros = np.zeros(num_tasks, "float32")
        return {"scores": zeros, "first": zeros}

    def weights(self, statistics, state):
        losses = statistics.losses
        first = ops.where(state["first"] > 0.0, state["first"], losses)
        shares = ops.softmax(state["scores"])
        count = losses.shape[0]
        weights = count * shares
        norms = ops.sqrt(ops.maximum(ops.diagonal(statistics.gram), 0.0))
        lengths = weights * norms
        rates = losses / ops.maximum(first, _SMALLEST)
        rates = rates / ops.maximum(ops.mean(rates), _SMALLEST)
        pull = ops.sign(lengths - ops.mean(lengths) * rates**self.alpha) * norms
        # Through w_k = K softmax(s)_k.
        slope = weights * (pull - ops.sum(shares * pull))
        scores = state["scores"] - self.learning_rate * slope
        return weights, {"scores": scores, "first": first}

    def get_config(self) -> dict:
        return {"alpha": self.alpha, "learning_rate": self.learning_rate}
