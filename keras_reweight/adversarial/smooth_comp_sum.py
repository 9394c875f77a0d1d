"""Losses of the comp-sum family whose margins an attack can hardly move."""

from __future__ import annotations

import keras

from keras_reweight.adversarial.robust_objective import RobustObjective, RobustTerm
from keras_reweight.attacks.attack_loss import log_probabilities, margin_shifts
from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses.comp_sum import CompSumLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class SmoothCompSum(RobustObjective):
    """A comp-sum loss at the clean inputs, and how far an attack moves the margins of the label.

    With the margins `m_c(x) = z_y(x) - z_c(x)` of the label to the other classes,

    `comp_sum(sum_{c != y} exp(-m_c(x) / rho)) + nu * ||m(x_adv) - m(x)||_2`,

    where `comp_sum(u)` is `log(1 + u)` for `tau=1`, else `((1 + u)^(1 - tau) - 1) / (1 - tau)`:
    `kr.losses.CompSumLoss` of logits divided by `rho`. The gradient goes through the margins at
    both inputs. The compiled loss is not used; labels must be classes. Attack with
    `loss="margin_shift"`, the second term, and a random start: at the input itself its slope is
    zero. Weights act on both terms.

    Args:
        tau: Float >= 0, the member of the family, `1` is cross-entropy. Defaults to `1.0`.
        rho: Float > 0, scale of the margins. Defaults to `1.0`.
        nu: Float >= 0, factor of the second term. Defaults to `1.0`.
        from_logits: Boolean, whether predictions are logits. Defaults to `True`.

    Returns:
        The objective, for `AdversarialTraining`; two weighted terms.

    Raises:
        TypeError: If a number is of another type or `from_logits` not a boolean.
        ValueError: If a number is out of its range.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    attack = kr.attacks.PGD(0.1, loss="margin_shift")
    trainer = kr.adversarial.AdversarialTraining(
        model, attack, objective=kr.adversarial.SmoothCompSum(tau=1.0, nu=1.0)
    )
    ```

    Reference:
        Mao, Mohri and Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and
        Applications", ICML 2023, arXiv 2304.07288, section 5 (smooth adversarial comp-sum losses).

    Deviations:
        No code of the authors is public: the defaults are ours. Weight decay, the third part of
        their algorithm, belongs to the optimizer. The norm is `sqrt(sum + 1e-12)`, which has a
        slope where nothing moves.

    Cost:
        A second forward and backward pass, as in TRADES.
    """

    needs_clean = True

    def __init__(
        self, tau: float = 1.0, *, rho: float = 1.0, nu: float = 1.0, from_logits: bool = True
    ):
        check_number("tau", tau, minimum=0.0)
        check_number("rho", rho, exclusive_minimum=0.0)
        check_number("nu", nu, minimum=0.0)
        check_boolean("from_logits", from_logits)
        self.tau = tau
        self.rho = rho
        self.nu = nu
        self.from_logits = from_logits

    def terms(self, loss, y, clean, adversarial):
        # Differences of log-probabilities are those of logits.
        first = log_probabilities(clean, self.from_logits)
        second = log_probabilities(adversarial, self.from_logits)
        fit = CompSumLoss(self.tau, reduction=None).call(y, first / self.rho)
        shift = self.nu * margin_shifts(y, second, first)
        return [RobustTerm(_per_sample(part), weighted=True) for part in (fit, shift)]

    def get_config(self) -> dict:
        return {"tau": self.tau, "rho": self.rho, "nu": self.nu, "from_logits": self.from_logits}


def _per_sample(values):
    """Means over the positions of a sequence or image."""
    while len(values.shape) > 1:
        values = keras.ops.mean(values, axis=-1)
    return values
