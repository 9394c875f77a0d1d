"""Simple negative preference optimization: forgetting sequences without a reference."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.losses._sequence_loss import SequenceLoss


@keras.saving.register_keras_serializable(package="keras_reweight")
class SimNPOLoss(SequenceLoss):
    """Pushes up the mean token loss of sequences, less and less as it grows.

    Use it to forget a set of sequences of different lengths and difficulty without a reference
    model. With the mean token loss `l` of a sequence the value is
    `-(2 / beta) log sigmoid(beta (l - delta))`. To forget and retain in one batch use the weighting
    `kr.weightings.SimNPO` in the `Unlearn` callback, which has the same gradient.

    Args:
        beta: Float > 0, how fast the push fades. Defaults to `2.5`.
        delta: Float, mean token loss that counts as half forgotten. Defaults to `0.0`.
        ignore_id: Integer or `None`, one more token id that does not count, besides those outside
            the classes such as -100. Defaults to `None`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"sim_npo_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with token ids of shape `(batch, time)` and logits of shape
        `(batch, time, classes)`: the reduced loss. Tokens under the Keras mask of the logits do
        not count.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `beta` is not positive, `delta` not finite, or, on a call, the shapes do not
            fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    logits = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    value = kr.losses.SimNPOLoss(2.5)(np.array([[1, 4, 0], [2, -100, -100]]), logits)
    ```

    Reference:
        Fan et al., "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM
        Unlearning", NeurIPS 2025, arXiv 2410.07163.

    Deviations:
        Some implementations count tokens before the shift by one, so that a first token without a
        prompt makes the length one too many; here only tokens with a loss count.

    Cost:
        One log-softmax; no one-hot array.
    """

    def __init__(
        self,
        beta: float = 2.5,
        *,
        delta: float = 0.0,
        ignore_id: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sim_npo_loss",
        dtype=None,
    ):
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("delta", delta)
        super().__init__(ignore_id=ignore_id, reduction=reduction, name=name, dtype=dtype)
        self.beta = beta
        self.delta = delta

    def values(self, nll, count, y_true):
        mean = nll / ops.maximum(count, 1.0)
        return -2.0 / self.beta * ops.log_sigmoid(self.beta * (mean - self.delta))

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta, "delta": self.delta}
