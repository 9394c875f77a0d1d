"""Logit-adjusted cross-entropy for long-tailed classes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_number
from keras_reweight.losses._class_counts import class_labels, cross_entropy, log_prior


@keras.saving.register_keras_serializable(package="keras_reweight")
class LogitAdjustedLoss(keras.losses.Loss):
    """Cross-entropy with a margin between classes that follows their frequencies.

    Use it for long-tailed training data where every class counts the same afterwards, with `tau`
    to tune how much. The loss is the cross-entropy of `z_c + log(pi_c^tau + epsilon)`; predict
    with the logits `z` as they are. `tau=1` is balanced softmax, `tau=0` plain cross-entropy. For
    a model that is already trained, `kr.layers.LogitAdjustment` does the same afterwards; never
    use both.

    Args:
        class_counts: List of training samples per class, or any positive numbers in their
            proportion, such as prior probabilities.
        tau: Float >= 0, strength of the adjustment. Defaults to `1.0`.
        epsilon: Float >= 0, added to `pi^tau`. Defaults to `1e-12`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"logit_adjusted_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch, ...)` or one-hot labels of shape
        `(batch, ..., classes)` and logits of shape `(batch, ..., classes)`: the reduced loss.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a count is not positive, `tau` or `epsilon` negative or, on a call, the
            shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.LogitAdjustedLoss([1000, 100, 10], tau=1.5)
    value = loss(np.array([0, 2]), np.array([[4.0, 0.5, -1.0], [1.0, 0.5, 0.25]], "float32"))
    ```

    Reference:
        Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, arXiv 2007.07314,
        equation 10.

    Deviations:
        `epsilon` is that of the official code; the paper has none.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        tau: float = 1.0,
        epsilon: float = 1e-12,
        reduction: str | None = "sum_over_batch_size",
        name: str = "logit_adjusted_loss",
        dtype=None,
    ):
        check_class_counts("class_counts", class_counts)
        check_number("tau", tau, minimum=0.0)
        check_number("epsilon", epsilon, minimum=0.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts
        self.tau = tau
        self.epsilon = epsilon

    def call(self, y_true, y_pred):
        labels = class_labels(y_true, y_pred, self.class_counts)
        offset = log_prior(self.class_counts, self.tau, self.epsilon)
        return cross_entropy(labels, y_pred + ops.convert_to_tensor(offset, dtype=y_pred.dtype))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "class_counts": np.asarray(self.class_counts).tolist(),
            "tau": self.tau,
            "epsilon": self.epsilon,
        }
