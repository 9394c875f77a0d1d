"""What the loss-range weightings share: map losses to [-delta, delta], shape, softmax."""

from __future__ import annotations

from keras import ops

from keras_reweight.core.schedules import (
    ScheduleLike,
    check_schedule_like,
    deserialize_schedule,
    is_schedule,
    serialize_schedule,
    value_at,
)
from keras_reweight.core.validation import check_number
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
        infinity = ops.full_like(losses, float("inf"))
        zeros = ops.zeros_like(losses)
        any_valid = ops.any(valid)
        low = ops.where(any_valid, ops.min(ops.where(valid, losses, infinity)), 0.0)
        high = ops.where(any_valid, ops.max(ops.where(valid, losses, -infinity)), 0.0)
        # One quotient: the difference of two would cancel in float32 for large losses.
        position = self.delta * (2.0 * losses - low - high)
        span = high - low
        # Not `ops.maximum`, which gives float32 for float64 and a plain number on torch.
        position = position / ops.where(
            span > _SMALLEST_RANGE, span, ops.full_like(span, _SMALLEST_RANGE)
        )
        score = self.shape(position)
        top = ops.where(any_valid, ops.max(ops.where(valid, score, -infinity)), 0.0)
        temperature = self._temperature(step)
        if ops.is_tensor(temperature):  # a plain number must not pass through float32
            temperature = ops.cast(temperature, losses.dtype)
        unnormalized = ops.where(
            valid, ops.exp((ops.where(valid, score, top) - top) / temperature), zeros
        )
        total = ops.sum(unnormalized)
        return unnormalized / ops.where(total > 0.0, total, ops.ones_like(total))

    def _temperature(self, step):
        if is_schedule(self.temperature) and step is None:
            raise ValueError(
                f"`temperature`={self.temperature!r} follows a schedule, which needs the training "
                "step: use this weighting in the `Reweight` callback, or call it with `step=`."
            )
        return value_at(self.temperature, step)

    def get_config(self) -> dict:
        return {"temperature": serialize_schedule(self.temperature), "delta": self.delta}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{**config, "temperature": deserialize_schedule(config["temperature"])})
