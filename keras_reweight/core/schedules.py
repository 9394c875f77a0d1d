"""Hyperparameters that vary over training steps, on the host and inside a compiled step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

import keras
from keras import ops

from keras_reweight.core.configured_value import ConfiguredValue
from keras_reweight.core.validation import check_integer, check_number

ScheduleLike = Union[float, "Schedule", Callable[[Any], Any]]


class Schedule(ConfiguredValue):
    """Base of schedules: a serializable callable from the step to a value.

    Called with a Python integer it returns a float; called with a tensor (inside a compiled step)
    it returns a float32 tensor, so that a changing value needs no new compilation. A subclass
    defines `__call__` and, if it has arguments, `get_config`.

    Args:
        step: Integer, or integer tensor of shape `()`, the training step.

    Returns:
        Float, or float32 tensor of shape `()`: the value at that step.

    Raises:
        NotImplementedError: If a subclass does not define `__call__`.

    Example:

    ```python
    import keras_reweight as kr

    class Halving(kr.schedules.Schedule):
        def __call__(self, step):
            return 0.5 ** (step / 100)

    assert Halving()(100) == 0.5
    ```

    Reference:
        None; the interface all schedules share.
    """

    def __call__(self, step):
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step).")


@keras.saving.register_keras_serializable(package="keras_reweight")
class Constant(Schedule):
    """The same value at every step.

    Use it where an argument wants a schedule object but nothing should change.

    Args:
        value: Float, the value.

    Returns:
        A callable `step -> float`, for a scalar integer `step` on the host or as a tensor of
        shape `()`.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If `value` is not finite.

    Example:

    ```python
    import keras_reweight as kr

    schedule = kr.schedules.Constant(0.5)
    assert schedule(10) == 0.5
    ```

    Reference:
        None; the trivial schedule.
    """

    def __init__(self, value: float):
        check_number("value", value)
        self.value = value

    def __call__(self, step):
        if on_host(step):
            return float(self.value)
        return ops.full((), self.value, dtype="float32")

    def get_config(self) -> dict:
        return {"value": self.value}


@keras.saving.register_keras_serializable(package="keras_reweight")
class PolynomialDecay(Schedule):
    """From an initial to a final value along a polynomial of the training progress.

    `value(t) = final + (initial - final) * (1 - p)**power` with the progress
    `p = clip((t - begin_step) / (end_step - begin_step), 0, 1)`. With `power=3` it is the cubic
    sparsity schedule of gradual pruning: fast while weights are plenty, slow near the target.

    Args:
        initial_value: Float, value up to `begin_step`.
        final_value: Float, value from `end_step` on.
        begin_step: Integer >= 0, first step of the change. Defaults to `0`.
        end_step: Integer > `begin_step`, step at which `final_value` is reached.
        power: Float > 0, exponent. Defaults to `3.0`.

    Returns:
        A callable `step -> float`, for a scalar integer `step` on the host or as a tensor of
        shape `()`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `end_step <= begin_step`, `begin_step < 0` or `power <= 0`.

    Example:

    ```python
    import keras_reweight as kr

    schedule = kr.schedules.PolynomialDecay(0.0, 0.9, begin_step=100, end_step=1100)
    assert schedule(0) == 0.0 and abs(schedule(1100) - 0.9) < 1e-12
    ```

    Reference:
        Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878, equation 1.
    """

    def __init__(
        self,
        initial_value: float,
        final_value: float,
        *,
        begin_step: int = 0,
        end_step: int,
        power: float = 3.0,
    ):
        check_number("initial_value", initial_value)
        check_number("final_value", final_value)
        check_integer("begin_step", begin_step, minimum=0)
        check_integer("end_step", end_step)
        if end_step <= begin_step:
            raise ValueError(
                f"`end_step` must be greater than `begin_step`={begin_step}, got {end_step!r}."
            )
        check_number("power", power, exclusive_minimum=0.0)
        self.initial_value = initial_value
        self.final_value = final_value
        self.begin_step = begin_step
        self.end_step = end_step
        self.power = power

    def __call__(self, step):
        span = float(self.end_step - self.begin_step)
        if on_host(step):
            left = 1.0 - min(max((step - self.begin_step) / span, 0.0), 1.0)
        else:
            step = ops.cast(step, "float32")
            left = 1.0 - ops.clip((step - float(self.begin_step)) / span, 0.0, 1.0)
        return self.final_value + (self.initial_value - self.final_value) * left**self.power

    def get_config(self) -> dict:
        return {
            "initial_value": self.initial_value,
            "final_value": self.final_value,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "power": self.power,
        }


def on_host(step: Any) -> bool:
    """Whether the step is a Python number, not a tensor of a compiled step."""
    return not ops.is_tensor(step) and not isinstance(step, keras.Variable)


def is_schedule(value: Any) -> bool:
    """Whether `value` varies with the step (a `Schedule` or another callable)."""
    return callable(value)


def value_at(value: ScheduleLike, step: Any):
    """The value of a float, callable or `Schedule` at `step` (host integer or tensor)."""
    return value(step) if callable(value) else value


def check_schedule_like(name: str, value: Any, **bounds: float) -> None:
    """Check a plain number now; a callable is checked where its values are used."""
    if not callable(value):
        check_number(name, value, **bounds)


def serialize_schedule(value: ScheduleLike):
    """Config form of a float, `Schedule` or registered function."""
    return keras.saving.serialize_keras_object(value) if callable(value) else value


def deserialize_schedule(value: Any):
    """Inverse of `serialize_schedule`; plain numbers and live schedules pass through."""
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value)
    return value
