"""Weights of the worst share of a batch."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.ranking import ceil_share
from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.weightings._masked import num_valid
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings.weighting import Weighting

# A schedule that reaches zero means the largest loss alone.
_SMALLEST_SHARE = 1e-9


@keras.saving.register_keras_serializable(package="keras_reweight")
class CVaR(Weighting):
    """The mean of the worst share of the losses: conditional value at risk.

    Use it to train on the hardest part of every batch alone, for fairness or rare failures; not
    where labels are noisy.

    The weights solve `max_w sum_i w_i loss_i` over the simplex with `w_i <= 1 / (alpha n)` for the
    `n` losses of the batch. The largest `alpha n` losses get that bound; where `alpha n` is no
    whole number, the next one gets the rest, and losses tied there share it equally. They sum to
    one. `alpha=1` is the plain mean, `alpha n <= 1` the largest loss alone.

    Args:
        alpha: Float in (0, 1], schedule or callable of the step, the share that counts. Defaults
            to `0.5`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, sum one.

    Raises:
        TypeError: If `alpha` is neither a number nor a callable.
        ValueError: If `alpha` is outside (0, 1]; on a call, if it follows a schedule and no `step`
            is given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.CVaR(0.5)(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"))
    ```

    Reference:
        Rockafellar and Uryasev, "Optimization of Conditional Value-at-Risk", Journal of Risk 2
        (2000); Levy et al., "Large-Scale Methods for Distributionally Robust Optimization",
        NeurIPS 2020, arXiv 2010.05893 (as a weighting of batches).

    Cost:
        One sort of `(batch,)` values; no extra passes, no state.
    """

    normalization = "sum_one"

    def __init__(self, alpha: ScheduleLike = 0.5):
        check_schedule_like("alpha", alpha, exclusive_minimum=0.0, maximum=1.0)
        self.alpha = alpha

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        alpha = scheduled_value("alpha", self.alpha, step, losses)
        alpha = ops.clip(alpha, _SMALLEST_SHARE, 1.0)
        count = ops.maximum(num_valid(valid, losses.dtype), 1.0)
        infinity = ops.full_like(losses, float("inf"))
        falling = -ops.sort(ops.reshape(ops.where(valid, -losses, infinity), (-1,)))
        last = ops.maximum(ceil_share(alpha, count), 1.0) - 1.0
        threshold = ops.take(falling, ops.cast(last, "int32"))
        above = ops.cast(ops.logical_and(valid, losses > threshold), losses.dtype)
        tied = ops.cast(ops.logical_and(valid, losses == threshold), losses.dtype)
        rest = (alpha * count - ops.sum(above)) / ops.maximum(ops.sum(tied), 1.0)
        return (above + rest * tied) / (alpha * count)

    def get_config(self) -> dict:
        return {"alpha": serialize_schedule(self.alpha)}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "alpha": deserialize_schedule(config["alpha"])})
