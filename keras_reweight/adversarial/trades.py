"""The trade-off between clean and robust predictions."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm
from keras_reweight.attacks.attack_loss import log_probabilities
from keras_reweight.core.validation import check_boolean, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class TRADES(RobustObjective):
    """The compiled loss at the clean inputs and the distance of the predictions to them.

    `loss(y, f(x)) + beta * KL(p(x) || p(x_adv))`, the gradient of the second term through both
    predictions. Attack with `loss="kl"`, `start="gaussian"`. Weights act on the second term, as in
    MAIL; with `weight_clean=True` on both, as in WEAT.

    Args:
        beta: Float >= 0. Defaults to `6.0`.
        from_logits: Boolean, whether predictions are logits. Defaults to `True`.
        weight_clean: Boolean. Defaults to `False`.

    Returns:
        The objective, for `AdversarialTraining`; two terms.

    Raises:
        TypeError: If `beta` is not a number or a switch not a boolean.
        ValueError: If `beta` is negative.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    attack = kr.attacks.PGD(0.1, loss="kl", start="gaussian")
    trainer = kr.adversarial.AdversarialTraining(
        model, attack, objective=kr.adversarial.TRADES(beta=6.0)
    )
    ```

    Reference:
        Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", ICML
        2019, arXiv 1901.08573, equation 5.
    """

    needs_clean = True

    def __init__(self, beta: float = 6.0, *, from_logits: bool = True, weight_clean: bool = False):
        check_number("beta", beta, minimum=0.0)
        check_boolean("from_logits", from_logits)
        check_boolean("weight_clean", weight_clean)
        self.beta = beta
        self.from_logits = from_logits
        self.weight_clean = weight_clean

    def terms(self, loss, y, clean, adversarial):
        return [
            RobustTerm(loss(y, clean), weighted=self.weight_clean),
            RobustTerm(self.beta * divergence(clean, adversarial, self.from_logits), weighted=True),
        ]

    def get_config(self) -> dict:
        return {
            "beta": self.beta,
            "from_logits": self.from_logits,
            "weight_clean": self.weight_clean,
        }


def divergence(clean, adversarial, from_logits: bool):
    """`KL(clean || adversarial)` of every sample, averaged over positions."""
    first = log_probabilities(clean, from_logits)
    second = log_probabilities(adversarial, from_logits)
    values = ops.sum(ops.exp(first) * (first - second), axis=-1)
    while len(values.shape) > 1:
        values = ops.mean(values, axis=-1)
    return values
