"""Misclassification-aware adversarial training."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm
from keras_reweight.adversarial.trades import divergence
from keras_reweight.attacks.attack_loss import log_probabilities
from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_boolean, check_number

#: Both as in the authors' code.
_INSIDE_LOG = 1.0001
_WHOLE = 1.0000001


@keras.saving.register_keras_serializable(package="keras_reweight")
class MART(RobustObjective):
    """A boosted cross-entropy at the adversarial inputs, and consistency where the model is unsure.

    `-log p_y(x_adv) - log(1 - max_{c != y} p_c(x_adv)) + beta * KL(p(x) || p(x_adv)) *
    (1 - p_y(x))`: samples that are misclassified without an attack count more in the last term. The
    compiled loss is not used; labels must be classes. Attack with cross-entropy and
    `start="gaussian"`.

    Args:
        beta: Float >= 0. Defaults to `6.0`.
        from_logits: Boolean, whether predictions are logits. Defaults to `True`.

    Returns:
        The objective, for `AdversarialTraining`; two weighted terms.

    Raises:
        TypeError: If `beta` is not a number or `from_logits` not a boolean.
        ValueError: If `beta` is negative.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    trainer = kr.adversarial.AdversarialTraining(
        model, kr.attacks.PGD(0.1, start="gaussian"), objective=kr.adversarial.MART(beta=5.0)
    )
    ```

    Reference:
        Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        ICLR 2020, equations 9 and 10; YisenWang/MART.
    """

    needs_clean = True

    def __init__(self, beta: float = 6.0, *, from_logits: bool = True):
        check_number("beta", beta, minimum=0.0)
        check_boolean("from_logits", from_logits)
        self.beta = beta
        self.from_logits = from_logits

    def terms(self, loss, y, clean, adversarial):
        logs = log_probabilities(adversarial, self.from_logits)
        label = labels_like(y, logs)
        others = ops.where(label > 0.5, ops.zeros_like(logs), ops.exp(logs))
        highest = ops.max(others, axis=-1)
        boosted = -ops.sum(label * logs, axis=-1) - ops.log(_INSIDE_LOG - highest)
        own = ops.sum(label * ops.exp(log_probabilities(clean, self.from_logits)), axis=-1)
        pull = self.beta * (_WHOLE - own) * divergence(clean, adversarial, self.from_logits)
        return [RobustTerm(boosted, weighted=True), RobustTerm(pull, weighted=True)]

    def get_config(self) -> dict:
        return {"beta": self.beta, "from_logits": self.from_logits}
