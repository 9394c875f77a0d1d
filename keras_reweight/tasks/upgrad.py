"""Unconflicting projection of gradients."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_integer
from keras_reweight.tasks._simplex import momenta
from keras_reweight.tasks.task_balancer import TaskBalancer

#: Of the trace: what keeps the inner products invertible, and when they count as zero.
_REGULARIZATION, _NOTHING = 1e-4, 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class UPGrad(TaskBalancer):
    """The mean of the gradients, each projected to where it harms no other loss.

    Every gradient is replaced by the nearest vector whose inner products with all gradients are not
    negative; their mean is the update. It lowers every loss to first order, and unlike `MGDA` each
    gradient acts in proportion to its length.

    With the Gramian `G`, divided by its trace and regularized, the projection of the `i`-th
    gradient has the weights `argmin v^T G v` subject to `v >= e_i / K`.

    Args:
        iterations: Integer >= 1, projected gradient steps for the `K` problems. Defaults to `100`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If `iterations` is not an integer.
        ValueError: If it is below one.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.UPGrad()
    ```

    Reference:
        Quinton and Rey, "Jacobian Descent for Multi-Objective Optimization", arXiv 2406.16232,
        section 4 and proposition 1; normalization and regularization as in torchjd.

    Deviations:
        The problems are solved by accelerated projected gradient steps in place of a solver for
        quadratic programs.

    Cost:
        `K` backward passes and `K^2` inner products.
    """

    needs = ("gram",)

    def __init__(self, iterations: int = 100):
        check_integer("iterations", iterations, minimum=1)
        self.iterations = iterations

    def weights(self, statistics, state):
        gram, count = statistics.gram, statistics.gram.shape[0]
        unit = ops.convert_to_tensor(np.eye(count, dtype="float32"))
        trace = ops.trace(gram)
        gram = ops.where(trace > _NOTHING, gram / ops.maximum(trace, _NOTHING), 0.0 * gram)
        gram = gram + _REGULARIZATION * unit
        lowest = unit / count
        # The trace bounds the largest eigenvalue.
        rate = 1.0 / (1.0 + count * _REGULARIZATION)

        descent = unit - rate * gram
        known = momenta(self.iterations)

        def step(number, state):
            rows, ahead = state
            new = ops.maximum(ops.matmul(ahead, descent), lowest)
            return new, new + known[number] * (new - rows)

        rows, _ = ops.fori_loop(0, self.iterations, step, (lowest, lowest))
        return ops.sum(rows, axis=0), state

    def get_config(self) -> dict:
        return {"iterations": self.iterations}
