"""Projected gradient descent that stops at samples that are wrong."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from keras_reweight.attacks.attack import Attack, Attacked, per_sample_zeros, pick
from keras_reweight.attacks.attack_loss import AttackLoss, as_attack_loss, is_correct
from keras_reweight.attacks.ball import STARTS, Ball, as_ball
from keras_reweight.core.gradients.input_step import input_step
from keras_reweight.core.loops import repeated
from keras_reweight.core.validation import check_choice, check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class FriendlyPGD(Attack):
    """PGD that stops, for each sample, `tau` steps after the model has got it wrong.

    For friendly adversarial training: early in a training the strongest attacks push samples far
    across the boundary and cost clean accuracy; samples just behind it teach the same. Every
    sample takes the steps of `PGD` as long as it is classified correctly, and `tau` more. `tau`
    grows during a training, from 0 to 3 in the paper: make a new attack, or train in parts. It is
    no attack for an evaluation.

    Args:
        ball: `Ball`, or its radius: a float >= 0 in units of the inputs. Defaults to `8 / 255`.
        step_size: Float > 0, or `None` for `2.5 * epsilon / steps`. Defaults to `None`.
        steps: Integer >= 1, the most steps. Defaults to `10`.
        tau: Integer >= 0, steps after the sample is misclassified. Defaults to `0`.
        loss: `AttackLoss` or its kind, or a function `(y_true, y_pred) -> (batch,)`. Defaults to
            `"crossentropy"` of logits.
        start: `"uniform"` in the ball, `"gaussian"` of deviation 0.001, or `"none"`. Defaults to
            `"uniform"`.
        seed: Integer >= 0. Defaults to `0`.

    Returns:
        Called with a model and arrays: inputs for training, float array of the shape of `x`.

    Raises:
        TypeError: If `ball` or a number is none.
        ValueError: If an argument is out of its range or unknown; in the call: if the model is no
            classifier.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    trainer = kr.adversarial.AdversarialTraining(model, kr.attacks.FriendlyPGD(0.1, tau=1))
    ```

    Reference:
        Zhang et al., "Attacks Which Do Not Kill Training Make Adversarial Learning Stronger", ICML
        2020, arXiv 2002.11242, algorithm 1; zjfheart/Friendly-Adversarial-Training.

    Cost:
        `steps` forward and backward passes of the whole batch: samples that have stopped are
        computed and left.
    """

    def __init__(
        self,
        ball: Ball | float = 8 / 255,
        *,
        step_size: float | None = None,
        steps: int = 10,
        tau: int = 0,
        loss: AttackLoss | str | Callable = "crossentropy",
        start: str = "uniform",
        seed: int = 0,
    ):
        as_ball(ball)
        if step_size is not None:
            check_number("step_size", step_size, exclusive_minimum=0.0)
        check_integer("steps", steps, minimum=1)
        check_integer("tau", tau, minimum=0)
        as_attack_loss(loss)
        check_choice("start", start, STARTS)
        check_integer("seed", seed, minimum=0)
        self.ball = ball
        self.step_size = step_size
        self.steps = steps
        self.tau = tau
        self.loss = loss
        self.start = start
        self.seed = seed

    def search(self, predict, x, y, counter=0):
        ball, loss = as_ball(self.ball), as_attack_loss(self.loss)
        x = ops.stop_gradient(x)
        y_clean = predict(x) if getattr(loss, "reads_clean", False) else None
        size = 2.5 * ball.epsilon / self.steps if self.step_size is None else self.step_size

        def values(inputs):
            y_pred = predict(inputs)
            return loss(y, y_pred, y_clean), ops.cast(is_correct(y, y_pred), "float32")

        def step(_, state):
            moved, counted, left = state
            _, right, gradient = input_step(values, moved)
            goes = ops.logical_or(right > 0.5, left > 0.5)
            target = ball.project(moved + size * ball.direction(gradient), x)
            return pick(goes, target, moved), counted + right, left - (1.0 - right)

        begin = ball.start(x, self.start, self.seed, counter)
        zeros = per_sample_zeros(x)
        moved, counted, _ = repeated(self.steps, step, (begin, zeros, zeros + float(self.tau)))
        return Attacked(moved, counted)

    def get_config(self) -> dict:
        return {
            "ball": keras.saving.serialize_keras_object(self.ball),
            "step_size": self.step_size,
            "steps": self.steps,
            "tau": self.tau,
            "loss": keras.saving.serialize_keras_object(self.loss),
            "start": self.start,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict):
        parts = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("ball", "loss")
        }
        return cls(**{**config, **parts})
