"""Multinomial likelihood of counts."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean


@keras.saving.register_keras_serializable(package="keras_reweight")
class MultinomialNLL(keras.losses.Loss):
    """Negative log-likelihood of counts (clicks, words) under one softmax over all items.

    Use it as reconstruction loss of autoencoders for implicit feedback: items compete for a fixed
    budget of probability, which suits ranking better than one binary loss per item. The value of
    a row is `-sum_i x_i log softmax(logits)_i`. It is not divided by the number of clicks, so
    active users count more, unless `normalize=True`.

    Args:
        normalize: Boolean, whether to divide by the sum of the counts. Defaults to `False`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"multinomial_nll"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with counts and logits of shape `(batch, ..., items)`: the reduced loss. Rows of
        zeros have the loss zero.

    Raises:
        TypeError: If `normalize` is not a boolean.
        ValueError: On a call, if the shapes of `y_true` and `y_pred` differ.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    counts = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], "float32")
    value = kr.losses.MultinomialNLL()(counts, np.zeros((2, 3), "float32"))
    ```

    Reference:
        Liang et al., "Variational Autoencoders for Collaborative Filtering", WWW 2018,
        arXiv 1802.05814, equation 2.

    Cost:
        One log-softmax.
    """

    def __init__(
        self,
        *,
        normalize: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "multinomial_nll",
        dtype=None,
    ):
        check_boolean("normalize", normalize)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.normalize = normalize

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        counts = ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype)
        if len(counts.shape) != len(y_pred.shape) or counts.shape[-1] != y_pred.shape[-1]:
            raise ValueError(
                f"{self.name}: `y_true` must hold counts of the shape of `y_pred`, "
                f"{tuple(y_pred.shape)}, got shape {tuple(counts.shape)}."
            )
        values = -ops.sum(counts * ops.log_softmax(y_pred, axis=-1), axis=-1)
        if not self.normalize:
            return values
        total = ops.sum(counts, axis=-1)
        return values / ops.where(total > 0.0, total, 1.0)

    def get_config(self) -> dict:
        return {**super().get_config(), "normalize": self.normalize}
