"""Worst-case weights in a chi-square ball."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.weightings._masked import masked_range, num_valid
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ChiSquareDRO(Weighting):
    """The worst case near uniform weights, by chi-square divergence.

    Use it like `KLDRO` against badly learned subpopulations where an outlier should not take all
    of the weight: the weights grow linearly with the loss above a threshold, not exponentially.

    The weights solve `max_w sum_i w_i loss_i` over the simplex under
    `sum_i (n w_i - 1)^2 / (2 n) <= radius` for the `n` losses of the batch. The solution is
    `w_i = relu(loss_i - eta) / sum_j relu(loss_j - eta)`; `eta` follows in closed form from the
    sorted losses. They sum to one. `radius=0` is the plain mean; from `(n / k - 1) / 2` on, for `k`
    samples tied at the largest loss, those alone count.

    Args:
        radius: Float >= 0, schedule or callable of the step, the size of the ball. Training on the
            worst share `a` of the data corresponds to `(1 / a - 1) / 2`. Defaults to `0.5`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, sum one.

    Raises:
        TypeError: If `radius` is neither a number nor a callable.
        ValueError: If `radius < 0`; on a call, if it follows a schedule and no `step` is given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.ChiSquareDRO(0.5)(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"))
    ```

    Reference:
        Levy et al., "Large-Scale Methods for Distributionally Robust Optimization", NeurIPS 2020,
        arXiv 2010.05893 (chi-square constraint); Duchi and Namkoong, "Variance-based
        Regularization with Convex Objectives", JMLR 2019, arXiv 1610.02581.

    Deviations:
        `eta` is computed from sorted losses instead of searched for by bisection. Papers that leave
        out the factor 1/2 of the divergence mean half of their radius here.

    Cost:
        One sort of `(batch,)` values; no extra passes, no state.
    """

    normalization = "sum_one"

    def __init__(self, radius: ScheduleLike = 0.5):
        check_schedule_like("radius", radius, minimum=0.0)
        self.radius = radius

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        radius = scheduled_value("radius", self.radius, step, losses)
        bound = 1.0 + 2.0 * ops.maximum(radius, 0.0)
        count = ops.maximum(num_valid(valid, losses.dtype), 1.0)
        low, high = masked_range(losses, valid)
        span = ops.where(high > low, high - low, 1.0)
        # Distance from the largest loss, in [0, 1]; entries that do not count come last.
        gap = ops.where(valid, (high - losses) / span, ops.full_like(losses, 2.0))
        active = ops.logical_and(valid, gap <= self._edge(gap, count, bound))
        number = ops.maximum(num_valid(active, losses.dtype), 1.0)
        zeros = ops.zeros_like(losses)
        mean = ops.sum(ops.where(active, gap, zeros)) / number
        variance = ops.sum(ops.where(active, ops.square(gap - mean), zeros)) / number
        # Not the threshold itself: it runs to minus infinity as the radius goes to zero.
        slope = ops.maximum(bound * number - count, 0.0) / count
        slope = ops.sqrt(slope / ops.where(variance > 0, variance, 1.0))
        raw = ops.where(active, ops.relu(1.0 - slope * (gap - mean)), zeros)
        return raw / ops.maximum(ops.sum(raw), 1e-30)

    @staticmethod
    def _edge(gap, count, bound):
        """The largest gap with a weight above zero.

        With the threshold at one of the losses, the chi-square divergence of the weights follows
        from sums over the sorted gaps, and it grows with the threshold. The losses with a weight
        are those at which it is still too large.
        """
        gaps = ops.sort(ops.reshape(gap, (-1,)))
        position = ops.cumsum(ops.ones_like(gaps))
        first, second = ops.cumsum(gaps), ops.cumsum(ops.square(gaps))
        squares = second - 2.0 * gaps * first + position * ops.square(gaps)
        inside = count * squares >= bound * ops.square(position * gaps - first)
        inside = ops.logical_and(inside, position <= count)
        number = ops.maximum(ops.sum(ops.cast(inside, "int32")), 1)
        return ops.take(gaps, number - 1)

    def get_config(self) -> dict:
        return {"radius": serialize_schedule(self.radius)}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "radius": deserialize_schedule(config["radius"])})
