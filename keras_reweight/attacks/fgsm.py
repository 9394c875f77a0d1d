"""The fast gradient sign method."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_reweight.attacks.attack import Attack
from keras_reweight.attacks.attack_loss import AttackLoss, as_attack_loss
from keras_reweight.attacks.ball import STARTS, Ball, as_ball
from keras_reweight.attacks.pgd import PGD
from keras_reweight.core.validation import check_choice, check_integer, check_number

#: Of Wong et al., in radii of the ball.
_AFTER_RANDOM_START = 1.25


@keras.saving.register_keras_serializable(package="keras_reweight")
class FGSM(Attack):
    """Fast gradient sign method: one step uphill in the loss, onto the border of a ball.

    `x_adv = project(x_0 + step_size * d(grad_x loss(x_0)))`, where `d` is the sign in the maximum
    norm and the division by the L2 norm of the sample in L2. As cheap as attacks get, and weak:
    judge robustness with `PGD` or `APGD`. From the sample itself (`start="none"`) it is the method
    of Goodfellow et al., with a step of `epsilon`; from a random place (`start="uniform"`) it is
    the fast variant, with a step of `1.25 * epsilon`, which is enough for adversarial training at
    two forward and backward passes a step.

    Fast adversarial training can fail at once, mostly with many epochs, large balls or longer
    steps: within an epoch the model learns to resist this one step alone (catastrophic
    overfitting). Its loss and its accuracy under `FGSM` then look better than ever, while hardly
    anything is left under `PGD`. Look at held out samples with `evaluate_robust` and a `PGD` of
    some steps while training, and go back to the last epoch before the fall.

    Args:
        ball: `Ball`, or its radius: a float >= 0 in units of the inputs. Defaults to `8 / 255`.
        step_size: Float > 0, or `None` for `epsilon`, `1.25 * epsilon` from a random start.
            Defaults to `None`.
        loss: `AttackLoss` or its kind, or a function `(y_true, y_pred) -> (batch,)`. Defaults to
            `"crossentropy"` of logits.
        start: `"none"`, `"uniform"` in the ball, or `"gaussian"` of deviation 0.001. Defaults to
            `"none"`.
        seed: Integer >= 0, of the start. Defaults to `0`.

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
    adversarial = kr.attacks.FGSM(0.1)(model, x, y)
    np.testing.assert_allclose(np.abs(adversarial - x), 0.1, rtol=1e-5)
    ```

    Reference:
        Goodfellow et al., "Explaining and Harnessing Adversarial Examples", ICLR 2015, arXiv
        1412.6572, section 4; Wong et al., "Fast is better than free: Revisiting adversarial
        training", ICLR 2020, arXiv 2001.03994, algorithm 3 and section 5.3.

    Deviations:
        In fast training the model is in inference mode during the attack, as with every attack
        here; the official code leaves it in training mode.

    Cost:
        One forward and backward pass.
    """

    def __init__(
        self,
        ball: Ball | float = 8 / 255,
        *,
        step_size: float | None = None,
        loss: AttackLoss | str | Callable = "crossentropy",
        start: str = "none",
        seed: int = 0,
    ):
        as_ball(ball)
        if step_size is not None:
            check_number("step_size", step_size, exclusive_minimum=0.0)
        as_attack_loss(loss)
        check_choice("start", start, STARTS)
        check_integer("seed", seed, minimum=0)
        self.ball = ball
        self.step_size = step_size
        self.loss = loss
        self.start = start
        self.seed = seed

    def search(self, predict, x, y, counter=0):
        return self._as_pgd().search(predict, x, y, counter)

    def _as_pgd(self):
        ball, size = as_ball(self.ball), self.step_size
        if size is None:
            size = ball.epsilon * (1.0 if self.start == "none" else _AFTER_RANDOM_START)
        if size == 0.0:
            # A ball of radius zero: any step ends where it began.
            size = 1.0
        return PGD(
            self.ball, step_size=size, steps=1, loss=self.loss, start=self.start, seed=self.seed
        )

    def get_config(self) -> dict:
        return {
            "ball": keras.saving.serialize_keras_object(self.ball),
            "step_size": self.step_size,
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
