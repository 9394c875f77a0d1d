"""What the weightings by likelihood share: exponents on `p = exp(-loss)` and on `1 - p`."""

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
from keras_reweight.weightings.weighting import Weighting


class LikelihoodWeighting(Weighting):
    """Raw weights `p**a (1 - p)**b` of the likelihood `p` that a cross-entropy stands for.

    A subclass names its exponents in `exponents` and stores each as an attribute.
    """

    exponents: tuple[str, ...] = ()

    def __init__(self, **exponents: ScheduleLike):
        for name, value in exponents.items():
            check_schedule_like(name, value, minimum=0.0)
            setattr(self, name, value)

    def likely_power(self, losses, name: str, step):
        """`p` to the power of the argument `name`."""
        return ops.exp(-self._exponent(losses, name, step) * ops.maximum(losses, 0.0))

    def unlikely_power(self, losses, name: str, step):
        """`1 - p` to the power of the argument `name`."""
        # `expm1`: the difference would lose the digits of a small loss.
        unlikely = -ops.expm1(-ops.maximum(losses, 0.0))
        return ops.power(unlikely, self._exponent(losses, name, step))

    def _exponent(self, losses, name, step):
        value = getattr(self, name)
        if is_schedule(value) and step is None:
            raise ValueError(
                f"`{name}`={value!r} follows a schedule, which needs the training step: use this "
                "weighting in the `Reweight` or `Unlearn` callback, or call it with `step=`."
            )
        return ops.cast(value_at(value, step), losses.dtype)

    def get_config(self) -> dict:
        return {name: serialize_schedule(getattr(self, name)) for name in self.exponents}

    @classmethod
    def from_config(cls, config: dict):
        return cls(**{name: deserialize_schedule(value) for name, value in config.items()})
