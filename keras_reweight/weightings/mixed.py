"""A share of uniform weights in another weighting."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings._wrapper import WeightingWrapper
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Mixed(WeightingWrapper):
    """Another weighting, mixed with uniform weights.

    Use it to take back some of an aggressive weighting, so that every sample keeps a share, and,
    with a schedule for `mix`, to fade a weighting in or out.

    `v_i = (1 - mix) w_i + mix u`, with the uniform weight `u` in the normalization of the weighting
    inside: `1 / n` where its weights sum to one, else 1. The normalization is kept.

    Args:
        weighting: The `Weighting` inside.
        mix: Float in [0, 1], schedule or callable of the step, the share of uniform weights; values
            of a schedule are clipped. Defaults to `0.5`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, normalized as
        those of `weighting`.

    Raises:
        TypeError: If `weighting` is no `Weighting` or `mix` is neither a number nor a callable.
        ValueError: If `mix` is outside [0, 1]; on a call, if it follows a schedule and no `step` is
            given, and what `weighting` raises.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    fade = kr.schedules.PolynomialDecay(1.0, 0.2, end_step=1000, power=1.0)
    weighting = kr.weightings.Mixed(kr.weightings.CVaR(0.3), mix=fade)
    weights = weighting(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"), step=500)
    ```

    Reference:
        Hesterberg, "Weighted Average Importance Sampling and Defensive Mixture Distributions",
        Technometrics 37 (1995).

    Cost:
        Two operations besides the weighting inside.
    """

    def __init__(self, weighting: Weighting, *, mix: ScheduleLike = 0.5):
        super().__init__(weighting)
        check_schedule_like("mix", mix, minimum=0.0, maximum=1.0)
        self.mix = mix

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        found = self.weighting(losses, y_true, y_pred, valid, step)
        mix = ops.clip(scheduled_value("mix", self.mix, step, losses), 0.0, 1.0)
        return (1.0 - mix) * found + mix * self.uniform(valid, found)

    def get_config(self) -> dict:
        return {**super().get_config(), "mix": serialize_schedule(self.mix)}

    @classmethod
    def from_config(cls, config: dict):
        return super().from_config({**config, "mix": deserialize_schedule(config["mix"])})
