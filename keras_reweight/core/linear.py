"""A schedule that changes by the same amount every step."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.schedules import Schedule, on_host
from keras_reweight.core.validation import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class Linear(Schedule):
    """From an initial to a final value along a straight line.

    For warm-ups and for amounts that shall change evenly. For the sparsity of gradual pruning the
    cubic schedule, `PolynomialDecay(..., power=3)`, is kinder to the model: it prunes while weights
    are plenty and slows down near the target. The value is `initial_value` up to `begin_step` and
    `final_value` from `end_step` on.

    Args:
        initial_value: Float, value up to `begin_step`.
        final_value: Float, value from `end_step` on.
        begin_step: Integer >= 0, first step of the change. Defaults to `0`.
        end_step: Integer > `begin_step`, step at which `final_value` is reached.

    Returns:
        A callable `step -> float`, for a scalar integer `step` on the host or as a tensor of
        shape `()`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `end_step <= begin_step` or `begin_step < 0`.

    Example:

    ```python
    import keras_compress as kc

    schedule = kc.schedules.Linear(0.0, 0.8, begin_step=10, end_step=20)
    assert schedule(5) == 0.0 and schedule(15) == 0.4 and schedule(99) == 0.8
    ```

    Reference:
        None; the straight line.
    """

    def __init__(
        self, initial_value: float, final_value: float, *, begin_step: int = 0, end_step: int
    ):
        check_number("initial_value", initial_value)
        check_number("final_value", final_value)
        check_integer("begin_step", begin_step, minimum=0)
        check_integer("end_step", end_step)
        if end_step <= begin_step:
            raise ValueError(
                f"`end_step` must be greater than `begin_step`={begin_step}, got {end_step!r}."
            )
        self.initial_value = initial_value
        self.final_value = final_value
        self.begin_step = begin_step
        self.end_step = end_step

    def __call__(self, step):
        span = float(self.end_step - self.begin_step)
        if on_host(step):
            progress = min(max((step - self.begin_step) / span, 0.0), 1.0)
        else:
            step = ops.cast(step, "float32")
            progress = ops.clip((step - float(self.begin_step)) / span, 0.0, 1.0)
        # Both ends are met exactly, which `initial + (final - initial) * progress` does not do.
        return self.initial_value * (1.0 - progress) + self.final_value * progress

    def get_config(self) -> dict:
        return {
            "initial_value": self.initial_value,
            "final_value": self.final_value,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
        }
