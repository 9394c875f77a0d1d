"""Projected gradient descent that chooses its own step sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_reweight.attacks.attack import (
    Attack,
    Attacked,
    count_correct,
    per_sample_zeros,
    pick,
    worst,
)
from keras_reweight.attacks.attack_loss import AttackLoss, as_attack_loss
from keras_reweight.attacks.ball import STARTS, Ball, as_ball
from keras_reweight.core.gradients.input_step import input_step
from keras_reweight.core.loops import repeated
from keras_reweight.core.validation import check_choice, check_integer, check_number

#: Of the steps: the first interval between two checks, by how much each is shorter, the shortest.
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06
_MOMENTUM = 0.75
#: Above every loss: a sample that is misclassified wins over one of a higher loss that is not.
_FOOLED = 1e30


@keras.saving.register_keras_serializable(package="keras_reweight")
class APGD(Attack):
    """Auto-PGD: momentum, and steps that shrink for each sample when they no longer help.

    The attack for evaluations: no step size to choose, and stronger than `PGD` with as many steps.
    The steps begin at `2 * epsilon`. At checkpoints, ever closer to each other, a sample whose loss
    rose in at most a share `rho` of the steps, or whose best loss has not moved since the last
    check although its step was kept, halves its step and goes on from its best point. Every step
    keeps a quarter of the one before. `loss="dlr"` finds what the cross-entropy of confident models
    hides; `WorstOf` of both is the first half of AutoAttack.

    The result is the last misclassified point, or that of the highest loss.

    Args:
        ball: `Ball`, or its radius: a float >= 0 in units of the inputs. Defaults to `8 / 255`.
        steps: Integer >= 1. Defaults to `100`.
        loss: `AttackLoss` or its kind, or a function `(y_true, y_pred) -> (batch,)`. Defaults to
            `"crossentropy"` of logits.
        start: `"uniform"` in the ball, `"gaussian"` of deviation 0.001, or `"none"`. Defaults to
            `"uniform"`.
        restarts: Integer >= 1. Defaults to `1`.
        rho: Float in (0, 1). Defaults to `0.75`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        Called with a model and arrays: adversarial inputs, float array of the shape of `x`.

    Raises:
        TypeError: If `ball` or a number is none.
        ValueError: If an argument is out of its range or unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    x, y = np.full((8, 4), 0.5, "float32"), np.arange(8) % 3
    adversarial = kr.attacks.APGD(0.1, steps=25, loss="dlr")(model, x, y)
    assert np.abs(adversarial - x).max() <= 0.1 + 1e-6
    ```

    Reference:
        Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse
        parameter-free attacks", ICML 2020, arXiv 2003.01690, algorithm 1; fra31/auto-attack.

    Deviations:
        As the authors' code, "at most" `rho` where the paper has "less than". That code compares
        the first loss with zero; here, as in the paper, with that of the start. It begins on the
        surface of the ball, this class inside.

    Cost:
        `(steps + 1) * restarts` forward and backward passes.
    """

    def __init__(
        self,
        ball: Ball | float = 8 / 255,
        *,
        steps: int = 100,
        loss: AttackLoss | str | Callable = "crossentropy",
        start: str = "uniform",
        restarts: int = 1,
        rho: float = 0.75,
        seed: int = 0,
    ):
        as_ball(ball)
        check_integer("steps", steps, minimum=1)
        as_attack_loss(loss)
        check_choice("start", start, STARTS)
        check_integer("restarts", restarts, minimum=1)
        check_number("rho", rho, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_integer("seed", seed, minimum=0)
        self.ball = ball
        self.steps = steps
        self.loss = loss
        self.start = start
        self.restarts = restarts
        self.rho = rho
        self.seed = seed

    def search(self, predict, x, y, counter=0):
        ball, loss = as_ball(self.ball), as_attack_loss(self.loss)
        x = ops.stop_gradient(x)
        y_clean = predict(x) if getattr(loss, "reads_clean", False) else None
        targeted = getattr(loss, "targeted", False)

        def values(inputs):
            y_pred = predict(inputs)
            right = count_correct(y, y_pred)
            fooled = right if targeted or right is None else 1.0 - right
            return loss(y, y_pred, y_clean), fooled

        found = []
        for restart in range(self.restarts):
            # Apart by more than any number of batches.
            begin = ball.start(x, self.start, self.seed + 7919 * restart, counter)
            state = self._climb(values, ball, x, begin)
            fooled = state.fooled > 0.5
            moved = pick(fooled, state.fooled_x, state.best_x)
            reached = ops.where(fooled, ops.full_like(state.best, _FOOLED), state.best)
            found.append((Attacked(moved), reached))
        return worst(found)

    def _climb(self, values, ball, x, begin):
        intervals = ops.convert_to_tensor(_intervals(self.steps))
        loss, fooled, gradient = input_step(values, begin)
        zeros = per_sample_zeros(x)
        state = _State(
            x=begin,
            before=begin,
            gradient=gradient,
            loss=loss,
            best_x=begin,
            best_gradient=gradient,
            best=loss,
            size=zeros + 2.0 * ball.epsilon,
            rises=zeros,
            best_at_check=loss,
            # As if the step had just been halved: the first check looks at the rises alone.
            halved=zeros + 1.0,
            fooled_x=begin,
            fooled=zeros if fooled is None else fooled,
        )

        def step(number, state):
            state = self._moved(values, ball, x, _State(*state), number)
            return tuple(self._checked(state, ops.take(intervals, number)))

        return _State(*repeated(self.steps, step, tuple(state)))

    def _moved(self, values, ball, x, state, number):
        size = ops.reshape(state.size, (-1,) + (1,) * (len(x.shape) - 1))
        ahead = ball.project(state.x + size * ball.direction(state.gradient), x)
        share = ops.where(ops.equal(number, 0), 1.0, _MOMENTUM)
        moved = state.x + share * (ahead - state.x) + (1.0 - share) * (state.x - state.before)
        moved = ball.project(moved, x)
        loss, fooled, gradient = input_step(values, moved)
        better = loss > state.best
        now = ops.zeros_like(state.fooled) if fooled is None else fooled
        return state._replace(
            x=moved,
            before=state.x,
            gradient=gradient,
            loss=loss,
            rises=state.rises + ops.cast(loss > state.loss, "float32"),
            best_x=pick(better, moved, state.best_x),
            best_gradient=pick(better, gradient, state.best_gradient),
            best=ops.where(better, loss, state.best),
            fooled_x=pick(now > 0.5, moved, state.fooled_x),
            fooled=ops.maximum(now, state.fooled),
        )

    def _checked(self, state, interval):
        """Steps halved where a check, `interval` > 0 steps after the last one, says so."""
        is_check = interval > 0.5
        few = state.rises <= self.rho * interval
        stuck = ops.logical_and(state.halved < 0.5, state.best_at_check >= state.best)
        halves = ops.logical_and(is_check, ops.logical_or(few, stuck))
        return state._replace(
            x=pick(halves, state.best_x, state.x),
            gradient=pick(halves, state.best_gradient, state.gradient),
            size=ops.where(halves, 0.5 * state.size, state.size),
            rises=ops.where(is_check, ops.zeros_like(state.rises), state.rises),
            best_at_check=ops.where(is_check, state.best, state.best_at_check),
            halved=ops.where(is_check, ops.cast(halves, "float32"), state.halved),
        )

    def get_config(self) -> dict:
        return {
            "ball": keras.saving.serialize_keras_object(self.ball),
            "steps": self.steps,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "start": self.start,
            "restarts": self.restarts,
            "rho": self.rho,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("ball", "loss")
        }
        return cls(**{**config, **parts})


class _State(NamedTuple):
    """Where every sample is, and what it remembers."""

    x: Any
    before: Any
    gradient: Any
    loss: Any
    best_x: Any
    best_gradient: Any
    best: Any
    size: Any
    rises: Any
    best_at_check: Any
    halved: Any
    fooled_x: Any
    fooled: Any


def _intervals(steps: int) -> np.ndarray:
    """For each step: how many steps a check after it looks back at, or 0 without a check."""
    found = np.zeros(steps, "float32")
    interval, since = max(int(_FIRST * steps), 1), 0
    for step in range(steps):
        since += 1
        if since == interval:
            found[step] = since
            shorter = interval - max(int(_SHORTER * steps), 1)
            interval, since = max(shorter, int(_SHORTEST * steps), 1), 0
    return found
