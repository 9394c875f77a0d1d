"""The shortest combination of gradients."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_integer
from keras_reweight.tasks._simplex import projected_descent
from keras_reweight.tasks.task_balancer import TaskBalancer

#: Keeps the scale of the inner products away from zero.
_SMALLEST = 1e-20


@keras.saving.register_keras_serializable(package="keras_reweight")
class MGDA(TaskBalancer):
    """The convex combination of the gradients that is shortest.

    `argmin |sum_k w_k g_k|^2` with `w_k >= 0`, `sum_k w_k = 1`: a step against it lowers every loss
    to first order, and it is zero where none can be lowered without raising another. It follows the
    smallest gradient: losses with large gradients hardly move.

    With two losses the solution is in closed form; with more, `iterations` steps of accelerated
    projected gradient descent from equal weights.

    Args:
        iterations: Integer >= 1. Defaults to `100`.

    Returns:
        A balancer for `LossBalancing`; weights sum to one.

    Raises:
        TypeError: If `iterations` is not an integer.
        ValueError: If it is below one.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.MGDA()
    ```

    Reference:
        Desideri, "Multiple-gradient descent algorithm", 2012; Sener and Koltun, "Multi-Task
        Learning as Multi-Objective Optimization", NeurIPS 2018, arXiv 1810.04650, equation 4.

    Deviations:
        Sener and Koltun use Frank-Wolfe steps, which end near the same point.

    Cost:
        `K` backward passes and `K^2` inner products.
    """

    needs = ("gram",)

    def __init__(self, iterations: int = 100):
        check_integer("iterations", iterations, minimum=1)
        self.iterations = iterations

    def weights(self, statistics, state):
        gram = statistics.gram
        if gram.shape[0] == 2:
            gap = gram[1, 1] - gram[0, 1]
            between = gram[0, 0] + gram[1, 1] - 2.0 * gram[0, 1]
            # Equal gradients: every combination is the same.
            first = ops.where(between > 0.0, gap / ops.maximum(between, _SMALLEST), 0.5)
            first = ops.clip(first, 0.0, 1.0)
            return ops.stack([first, 1.0 - first]), state
        scaled = gram / ops.maximum(ops.max(ops.diagonal(gram)), _SMALLEST)

        def slope(weights):
            return ops.matmul(scaled, weights)

        return projected_descent(slope, ops.trace(scaled), gram.shape[0], self.iterations), state

    def get_config(self) -> dict:
        return {"iterations": self.iterations}
