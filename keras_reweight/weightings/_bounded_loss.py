"""What the loss-range weightings share: map losses to [-delta, delta], shape, softmax."""

from __future__ import annotations

from keras import ops

from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    serialize_schedule,
)
from keras_reweight.core.validation import check_number
from keras_reweight.weightings._masked import masked_range, masked_softmax
from keras_reweight.weightings._scheduled import scheduled_value
from keras_reweight.weightings.weighting import Weighting

# Smallest loss range that is divided by; below it all losses count as equal.
_SMALLEST_RANGE = 1e-6


class BoundedLossWeighting(Weighting):
    """Softmax over a shaped position of each loss inside the batch's loss range."""

    normalization = "sum_one"

    def __init__(self, temperature: ScheduleLike = 1.0, *, delta: float = 1.0):
        check_schedule_like("temperature", temperature, exclusive_minimum=0.0)
        check_number("delta", delta, exclusive_minimum=0.0)
        self.temperature = temperature
        self.delta = delta

    def shape(self, position):
        """Score of positions in `[-delta, delta]`; a higher score gets a higher weight."""
        raise NotImplementedError(f"{type(self).__name__} must define shape(position).")

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        low, high = masked_range(losses, valid)
        # One quotient: the difference of two would cancel in float32 for large losses.
        position = self.delta * (2.0 * losses - low - high)
        span = high - low
        # Not `ops.maximum`, which gives float32 for float64 and a plain number on torch.
        position = position / ops.where(
            span > _SMALLEST_RANGE, span, ops.full_like(span, _SMALLEST_RANGE)
        )
        temperature = scheduled_value("temperature", self.temperature, step, losses)
        return masked_softmax(self.shape(position), valid, temperature)

    def get_config(self) -> dict:
        return {"temperature": serialize_schedule(self.temperature), "delta": self.delta}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "temperature": deserialize_schedule(config["temperature"])})
