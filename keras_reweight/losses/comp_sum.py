"""The family of cross-entropy-like losses between the exponential loss and the absolute error."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_boolean, check_number

# `tau` closer to one than this is cross-entropy to the precision of float32.
_NEAR_ONE = 1e-6
# Exponents beyond this would overflow float32 soon; the loss goes on as a straight line there.
_LARGEST_EXPONENT = 50.0


@keras.saving.register_keras_serializable(package="keras_reweight")
class CompSumLoss(keras.losses.Loss):
    """One-parameter family of losses for classification, from sum-exponential to absolute error.

    Use it to choose how much hard samples count: with the probability `p` of the label, the
    gradient is that of cross-entropy times `p^(tau - 1)`. `tau < 1` puts more weight on hard
    samples, `tau > 1` less, which makes training robust to wrong labels (1.5 to 1.8 is a good
    range; `tau=2` learns slowly).

    `loss = (1 - p^(tau - 1)) / (tau - 1)`, that is `1 / p - 1` (sum-exponential) at `tau=0`,
    cross-entropy at `tau=1`, generalized cross-entropy (GCE) with `q = tau - 1` for `1 < tau < 2`
    and the mean absolute error `1 - p` at `tau=2`.

    Args:
        tau: Float >= 0, the member of the family. Defaults to `1.0`.
        from_logits: Boolean, whether `y_pred` holds logits, else probabilities. Defaults to `True`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"comp_sum_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or `(batch, time)`, or one-hot labels with a last
        axis of classes, and `y_pred` of shape `(batch, classes)` or `(batch, time, classes)`: the
        reduced loss. Soft labels enter by their mean log-probability; ids outside the classes have
        the loss zero.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `tau < 0`; on a call, if the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.CompSumLoss(tau=1.7))
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model.fit(x, np.arange(32) % 3, verbose=0)
    ```

    Reference:
        Mao, Mohri and Zhong, "Cross-Entropy Loss Functions: Theoretical Analysis and
        Applications", ICML 2023, arXiv 2304.07288; Zhang and Sabuncu, "Generalized Cross Entropy
        Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018, arXiv 1805.07836.

    Deviations:
        For `tau < 1` the loss grows exponentially with the log-probability and would overflow: from
        the exponent 50 on it continues along its tangent.

    Cost:
        That of cross-entropy.
    """

    def __init__(
        self,
        tau: float = 1.0,
        *,
        from_logits: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "comp_sum_loss",
        dtype=None,
    ):
        check_number("tau", tau, minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.tau = tau
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        labels = labels_like(y_true, y_pred)
        if self.from_logits:
            log_probs = ops.log_softmax(y_pred, axis=-1)
        else:
            log_probs = ops.log(ops.clip(y_pred, keras.config.epsilon(), 1.0))
        # `where`, not multiply: a class that is ruled out has a log-probability of -inf.
        log_prob = ops.sum(
            ops.where(labels > 0, labels * log_probs, ops.zeros_like(log_probs)), axis=-1
        )
        power = float(self.tau) - 1.0
        if abs(power) < _NEAR_ONE:
            return -log_prob
        exponent = power * log_prob
        capped = ops.minimum(exponent, _LARGEST_EXPONENT)
        beyond = ops.exp(capped) * (exponent - capped) if power < 0 else 0.0
        return (ops.expm1(capped) + beyond) / -power

    def get_config(self) -> dict:
        return {**super().get_config(), "tau": self.tau, "from_logits": self.from_logits}
