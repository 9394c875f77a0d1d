"""Equalization loss: rare classes are not pushed down by samples of other classes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_number
from keras_reweight.losses._class_counts import class_labels


@keras.saving.register_keras_serializable(package="keras_reweight")
class EqualizationLoss(keras.losses.Loss):
    """Sigmoid cross-entropy that spares rare classes the negatives of other classes.

    Use it for long-tailed classification or detection heads with one sigmoid per class. Rare are
    the classes whose share `pi_c` is below `threshold`; the loss of a sample is the sum over
    classes of `w_c BCE(z_c, y_c)` with `w_c = 0` where class `c` is rare and not the label, else 1.
    Samples without a class (rows of zeros, or an id outside the classes such as `-1`) are
    background: they are negatives for every class. For a softmax head use
    `SoftmaxEqualizationLoss`.

    Args:
        class_counts: List of training samples per class, all positive.
        threshold: Float in `[0, 1]`, the share of the samples below which a class is rare.
            Defaults to `1.77e-3`, which suits a thousand classes or more.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"equalization_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch, ...)` or one-hot labels of shape
        `(batch, ..., classes)` and logits of shape `(batch, ..., classes)`: the reduced loss.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range or, on a call, the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.EqualizationLoss([1000, 100, 10], threshold=0.02)
    value = loss(np.array([0, 2]), np.array([[4.0, 0.5, -1.0], [1.0, 0.5, 0.25]], "float32"))
    ```

    Reference:
        Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR 2020,
        arXiv 2003.05176, section 3 (equalization loss).

    Deviations:
        The paper's frequency is the share of images that show the class; here the share of labels.
        With one label per image they are the same.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        threshold: float = 1.77e-3,
        reduction: str | None = "sum_over_batch_size",
        name: str = "equalization_loss",
        dtype=None,
    ):
        check_class_counts("class_counts", class_counts)
        check_number("threshold", threshold, minimum=0.0, maximum=1.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts
        self.threshold = threshold

    def call(self, y_true, y_pred):
        labels = class_labels(y_true, y_pred, self.class_counts)
        counts = np.asarray(self.class_counts, "float64")
        rare = ops.convert_to_tensor(counts / counts.sum() < self.threshold)
        foreground = ops.any(labels > 0, axis=-1, keepdims=True)
        spared = ops.logical_and(ops.logical_and(rare, foreground), labels <= 0)
        losses = labels * ops.softplus(-y_pred) + (1.0 - labels) * ops.softplus(y_pred)
        return ops.sum(ops.where(spared, ops.zeros_like(losses), losses), axis=-1)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "class_counts": np.asarray(self.class_counts).tolist(),
            "threshold": self.threshold,
        }
