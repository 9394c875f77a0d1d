"""Projected gradient descent on the input."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from keras_reweight.attacks.attack import Attack, Attacked, count_correct, per_sample_zeros, worst
from keras_reweight.attacks.attack_loss import AttackLoss, as_attack_loss
from keras_reweight.attacks.ball import STARTS, Ball, as_ball
from keras_reweight.core.gradients.input_step import input_step
from keras_reweight.core.loops import repeated
from keras_reweight.core.validation import check_choice, check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class PGD(Attack):
    """Projected gradient descent: K steps uphill in the loss, never leaving a ball.

    The standard attack of adversarial training and, with restarts, of its evaluation. From a start
    `x_0` in the ball,

    `x_{k+1} = project(x_k + step_size * d(grad_x loss(x_k)))`,

    where `d` is the sign in the maximum norm and the division by the L2 norm of the sample in L2,
    and `project` goes to the ball around `x`, then into the range of valid values. The last iterate
    is the result; of several restarts each sample keeps the one with the highest loss.
    `start="gaussian"` with `loss="kl"` is the attack of TRADES, `loss="margin"` that of Carlini and
    Wagner within a ball.

    Random numbers depend on `seed`, the number of the batch and the position in it, and are the
    same on every backend.

    Args:
        ball: `Ball`, or its radius: a float >= 0 in units of the inputs. Defaults to `8 / 255`.
        step_size: Float > 0, or `None` for `2.5 * epsilon / steps`. Defaults to `None`.
        steps: Integer >= 1. Defaults to `10`.
        loss: `AttackLoss` or its kind, or a function `(y_true, y_pred) -> (batch,)`. Defaults to
            `"crossentropy"` of logits.
        start: `"uniform"` in the ball, `"gaussian"` of deviation 0.001, or `"none"`. Defaults to
            `"uniform"`.
        restarts: Integer >= 1. Defaults to `1`.
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
    adversarial = kr.attacks.PGD(0.1, steps=5)(model, x, y)
    assert np.abs(adversarial - x).max() <= 0.1 + 1e-6
    ```

    Reference:
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
        arXiv 1706.06083, section 2.1.

    Cost:
        `steps * restarts` forward and backward passes; one more forward pass for `"kl"` and, if
        there are several, for each restart.
    """

    def __init__(
        self,
        ball: Ball | float = 8 / 255,
        *,
        step_size: float | None = None,
        steps: int = 10,
        loss: AttackLoss | str | Callable = "crossentropy",
        start: str = "uniform",
        restarts: int = 1,
        seed: int = 0,
    ):
        as_ball(ball)
        if step_size is not None:
            check_number("step_size", step_size, exclusive_minimum=0.0)
        check_integer("steps", steps, minimum=1)
        as_attack_loss(loss)
        check_choice("start", start, STARTS)
        check_integer("restarts", restarts, minimum=1)
        check_integer("seed", seed, minimum=0)
        self.ball = ball
        self.step_size = step_size
        self.steps = steps
        self.loss = loss
        self.start = start
        self.restarts = restarts
        self.seed = seed

    def search(self, predict, x, y, counter=0):
        ball, loss = as_ball(self.ball), as_attack_loss(self.loss)
        x = ops.stop_gradient(x)
        y_clean = predict(x) if getattr(loss, "reads_clean", False) else None

        def values(inputs):
            y_pred = predict(inputs)
            return loss(y, y_pred, y_clean), count_correct(y, y_pred)

        found = []
        for restart in range(self.restarts):
            # Apart by more than any number of batches.
            begin = ball.start(x, self.start, self.seed + 7919 * restart, counter)
            moved = self._climb(values, x, begin)
            found.append((moved, values(moved.x)[0] if self.restarts > 1 else None))
        return worst(found)

    def _climb(self, values, x, begin):
        ball = as_ball(self.ball)
        size = 2.5 * ball.epsilon / self.steps if self.step_size is None else self.step_size

        def step(_, state):
            moved, correct = state
            _, right, gradient = input_step(values, moved)
            moved = ball.project(moved + size * ball.direction(gradient), x)
            return moved, correct if right is None else correct + right

        moved, correct = repeated(self.steps, step, (begin, per_sample_zeros(x)))
        return Attacked(moved, correct)

    def get_config(self) -> dict:
        return {
            "ball": keras.saving.serialize_keras_object(self.ball),
            "step_size": self.step_size,
            "steps": self.steps,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "start": self.start,
            "restarts": self.restarts,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("ball", "loss")
        }
        return cls(**{**config, **parts})
