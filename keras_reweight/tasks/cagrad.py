"""Conflict-averse gradient descent."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.tasks._simplex import projected_descent
from keras_reweight.tasks.task_balancer import TaskBalancer

_SMALLEST = 1e-8


@keras.saving.register_keras_serializable(package="keras_reweight")
class CAGrad(TaskBalancer):
    """The step near the mean gradient that helps the worst loss most.

    With the mean gradient `g_0` and `g_w = sum_k w_k g_k`, the update is
    `(g_0 + c |g_0| / |g_w| g_w) / (1 + c^2)`, where `w` on the simplex minimizes
    `<g_w, g_0> + c |g_0| |g_w|`. `c = 0` is the mean; larger `c` looks more at the worst loss.

    Args:
        c: Float in `[0, 1)`, how far from the mean gradient. Defaults to `0.5`.
        iterations: Integer >= 1, steps of the inner problem. Defaults to `50`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `c` is outside `[0, 1)` or `iterations` is below one.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.CAGrad(0.4)
    ```

    Reference:
        Liu et al., "Conflict-Averse Gradient Descent for Multi-task Learning", NeurIPS 2021, arXiv
        2110.14048, equation 3 and algorithm 1; divided by `1 + c^2` as in the authors' code
        (`rescale=1`).

    Deviations:
        The inner problem is solved by projected gradient steps in place of SLSQP.

    Cost:
        `K` backward passes and `K^2` inner products.
    """

    needs = ("gram",)

    def __init__(self, c: float = 0.5, *, iterations: int = 50):
        check_number("c", c, minimum=0.0, exclusive_maximum=1.0)
        check_integer("iterations", iterations, minimum=1)
        self.c = c
        self.iterations = iterations

    def weights(self, statistics, state):
        gram, count = statistics.gram, statistics.gram.shape[0]
        scale = ops.maximum(ops.mean(ops.diagonal(gram)), 1e-20)
        gram = gram / scale
        with_mean = ops.mean(gram, axis=1)
        radius = self.c * ops.sqrt(ops.maximum(ops.mean(with_mean), 0.0))

        def slope(weights):
            product = ops.matmul(gram, weights)
            length = ops.sqrt(ops.relu(ops.sum(weights * product)) + _SMALLEST)
            return with_mean + (radius / length) * product

        # The curvature of the root at half the length of the mean; it has no bound near zero.
        start = ops.sqrt(ops.maximum(ops.mean(with_mean), _SMALLEST))
        bound = 2.0 * radius * count / start + _SMALLEST
        weights = projected_descent(slope, bound, count, self.iterations)
        length = ops.sqrt(ops.maximum(ops.sum(weights * ops.matmul(gram, weights)), 0.0))
        factor = radius / (length + _SMALLEST)
        return (1.0 / count + factor * weights) / (1.0 + self.c**2), state

    def get_config(self) -> dict:
        return {"c": self.c, "iterations": self.iterations}
