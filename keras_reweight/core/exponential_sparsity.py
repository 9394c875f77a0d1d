"""A schedule that takes the same share of what is left, round after round."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.schedules import Schedule, on_host
from keras_reweight.core.validation import check_boolean, check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class ExponentialSparsity(Schedule):
    """Sparsity that rises by the same share of the survivors in every round.

    The schedule of iterative pruning and lottery tickets: after round `i` the sparsity is
    `1 - (1 - rate)**i`, so that the density decays exponentially. Rounds last `round_steps` steps
    from `begin_step` on and stop after `num_rounds`; set the `frequency` of `Pruning` to
    `round_steps`. With `staircase=False` the rounds are fractions and the sparsity rises at every
    step.

    Args:
        rate: Float in `(0, 1)`, share of the survivors that goes in a round.
        round_steps: Integer >= 1, steps of a round.
        num_rounds: Integer >= 1, number of rounds.
        begin_step: Integer >= 0, where the first round begins. Defaults to `0`.
        staircase: Boolean, whether the sparsity changes at the ends of the rounds only. Defaults to
            `True`.

    Returns:
        A callable `step -> float`, for a scalar integer `step` on the host or as a tensor of
        shape `()`; `end_step` is the step from which it is constant.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import keras_compress as kc

    schedule = kc.schedules.ExponentialSparsity(0.5, round_steps=100, num_rounds=3)
    assert [schedule(step) for step in (0, 100, 200, 300, 999)] == [0.0, 0.5, 0.75, 0.875, 0.875]
    ```

    Reference:
        Frankle and Carbin, "The Lottery Ticket Hypothesis", arXiv 1803.03635 (a fifth of the
        survivors a round); Xu et al., arXiv 2308.10438, use the same rounds.
    """

    def __init__(
        self,
        rate: float,
        *,
        round_steps: int,
        num_rounds: int,
        begin_step: int = 0,
        staircase: bool = True,
    ):
        check_number("rate", rate, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_integer("round_steps", round_steps, minimum=1)
        check_integer("num_rounds", num_rounds, minimum=1)
        check_integer("begin_step", begin_step, minimum=0)
        check_boolean("staircase", staircase)
        self.rate = rate
        self.round_steps = round_steps
        self.num_rounds = num_rounds
        self.begin_step = begin_step
        self.staircase = staircase

    @property
    def end_step(self) -> int:
        """The step from which the sparsity is constant."""
        return self.begin_step + self.num_rounds * self.round_steps

    def __call__(self, step):
        last = self.num_rounds * self.round_steps
        if on_host(step):
            done = min(max(step - self.begin_step, 0), last)
            rounds = done // self.round_steps if self.staircase else done / self.round_steps
            return 1.0 - (1.0 - self.rate) ** rounds
        done = ops.clip(ops.cast(step, "int32") - self.begin_step, 0, last)
        if self.staircase:
            # In integers: a compiler may divide floats by multiplying, and miss the end of a round.
            rounds = ops.cast(ops.floor_divide(done, self.round_steps), "float32")
        else:
            rounds = ops.cast(done, "float32") / float(self.round_steps)
        return 1.0 - ops.power(ops.convert_to_tensor(1.0 - self.rate, "float32"), rounds)

    def get_config(self) -> dict:
        return {
            "rate": self.rate,
            "round_steps": self.round_steps,
            "num_rounds": self.num_rounds,
            "begin_step": self.begin_step,
            "staircase": self.staircase,
        }
