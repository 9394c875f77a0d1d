"""Cross-entropy with StableMax in place of the softmax."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.labels import labels_like
from keras_reweight.core.validation import check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class StableMaxCrossentropy(keras.losses.Loss):
    """Cross-entropy whose scores grow linearly, so that training goes on past full accuracy.

    Use it where a network fits the training set long before it generalizes (grokking): with the
    softmax, logits grow until float32 rounds the loss and its gradient to zero. Here the score of a
    logit is `s(x) = x + 1` for `x >= 0` and `1 / (1 - x)` below, the probability of a class
    `s(x_c) / sum s`, and the loss `-log` of it. Class predictions by `argmax` are those of the
    softmax. Logits only: probabilities of a softmax are of no use here.

    Args:
        label_smoothing: Float in `[0, 1)`, share of the label spread over all classes.
            Defaults to `0.0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"stable_max_crossentropy"`.
        dtype: Dtype of the computation; `"float64"` is what the authors use. Defaults to `None`:
            `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch, ...)` or one-hot labels of shape
        `(batch, ..., classes)` and logits of shape `(batch, ..., classes)`: the reduced loss. Ids
        outside the classes have the loss zero.

    Raises:
        TypeError: If `label_smoothing` is not a number.
        ValueError: If `label_smoothing` is outside `[0, 1)`, or, on a call, the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.StableMaxCrossentropy()
    value = loss(np.array([0, 1]), np.array([[2.0, -1.0, 0.5], [-3.0, 0.0, 30.0]], "float32"))
    ```

    Reference:
        Prieto et al., "Grokking at the Edge of Numerical Stability", ICLR 2025, arXiv 2501.04697.

    Deviations:
        The authors divide in float64; here everything is a difference of logarithms, which is
        accurate in float32 too. Label smoothing is ours.

    Cost:
        Two logarithms per logit.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "stable_max_crossentropy",
        dtype=None,
    ):
        check_number("label_smoothing", label_smoothing, minimum=0.0, exclusive_maximum=1.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        y_pred = ops.convert_to_tensor(y_pred)
        labels = labels_like(y_true, y_pred)
        zeros, positive = ops.zeros_like(y_pred), y_pred >= 0.0
        # Each branch sees only its own side: a NaN of the other would reach the gradient. `where`
        # has the whole slope at zero, and unlike `maximum` it keeps float64 on every backend.
        above = ops.log1p(ops.where(positive, y_pred, zeros))
        below = -ops.log1p(-ops.where(positive, zeros, y_pred))
        log_scores = ops.where(positive, above, below)
        losses = ops.logsumexp(log_scores, axis=-1, keepdims=True) - log_scores
        smoothing = self.label_smoothing
        if smoothing:
            present = ops.sum(labels, axis=-1, keepdims=True)
            labels = (1.0 - smoothing) * labels + smoothing * present / y_pred.shape[-1]
        return ops.sum(labels * losses, axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "label_smoothing": self.label_smoothing}
