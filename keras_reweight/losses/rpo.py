"""Regularized preference optimization: DPO with an anchor on the chosen answers."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses.dpo import DPOLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class RPOLoss(DPOLoss):
    """Preference loss that also keeps the chosen answers likely.

    Use it in place of `DPOLoss` where the likelihood of the chosen answers falls during training
    (over-optimization). The value of a pair is that of DPO plus the likelihood loss of the chosen
    answer: `DPO - eta * log p / num_tokens` for `sft="average"`, `DPO - beta * eta * log p` for
    `sft="cumulative"`, where `log p` is summed over the tokens. `eta=0` is DPO.

    Args:
        beta: Float > 0, how strongly the model is held to its reference. Defaults to `0.1`.
        eta: Float >= 0, weight of the likelihood loss; the official runs take 0.2 for averages and
            0.005 for sums. Defaults to `0.2`.
        sft: `"average"` or `"cumulative"`, whether the likelihood loss is per token or per answer.
            Defaults to `"average"`.
        label_smoothing: Float in `[0, 0.5)`, share of pairs believed to be the wrong way round.
            Defaults to `0.0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"rpo_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with targets of shape `(batch, 3)` (reference log-probability of the chosen and of
        the rejected answer, number of tokens of the chosen one; the last is needed for averages
        only) and log-probabilities of shape `(batch, 2)`, chosen first: the reduced loss.

    Raises:
        TypeError: If a number is of another type.
        ValueError: If an argument is out of its range, or, on a call, the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    reference_and_length = np.array([[-12.5, -13.0, 10.0], [-9.0, -8.0, 6.0]], "float32")
    policy = np.array([[-12.0, -14.0], [-8.0, -7.5]], "float32")
    value = kr.losses.RPOLoss(beta=0.1, eta=0.2)(reference_and_length, policy)
    ```

    Reference:
        Liu et al., "Provably Mitigating Overoptimization in RLHF: Your SFT Loss is Implicitly an
        Adversarial Regularizer", NeurIPS 2024, arXiv 2405.16436.

    Deviations:
        Both official variants are here; the repository recommends the average.

    Cost:
        A few operations on `(batch, 2)` values; no second model in the step.
    """

    def __init__(
        self,
        beta: float = 0.1,
        eta: float = 0.2,
        *,
        sft: str = "average",
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "rpo_loss",
        dtype=None,
    ):
        super().__init__(
            beta, label_smoothing=label_smoothing, reduction=reduction, name=name, dtype=dtype
        )
        check_number("eta", eta, minimum=0.0)
        check_choice("sft", sft, ("average", "cumulative"))
        self.eta = eta
        self.sft = sft

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        self.check_pairs(y_true, y_pred, 3 if self.sft == "average" else 2)
        preference, chosen = super().call(y_true, y_pred), y_pred[:, 0]
        if self.sft == "cumulative":
            return preference - self.beta * self.eta * chosen
        num_tokens = ops.maximum(ops.cast(y_true[:, 2], chosen.dtype), 1.0)
        return preference - self.eta * chosen / num_tokens

    def get_config(self) -> dict:
        return {**super().get_config(), "eta": self.eta, "sft": self.sft}
