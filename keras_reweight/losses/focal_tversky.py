"""Focal Tversky loss for small regions."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._regions import as_probabilities

# Below, the slope of the power `gamma < 1` would be infinite.
_SMALLEST = 1e-7


@keras.saving.register_keras_serializable(package="keras_reweight")
class FocalTverskyLoss(keras.losses.Loss):
    """Overlap loss that says what missed and what spurious voxels cost.

    Use it to segment small structures (vessels, lesions), where missing a voxel is worse than one
    too many. With the true positives `TP`, false negatives `FN` and false positives `FP` of a
    sample, counted over all its entries, the value is
    `(1 - (TP + s) / (TP + alpha FN + (1 - alpha) FP + s)) ** gamma`. `gamma < 1` keeps the slope up
    close to a perfect overlap. Every channel is a region of its own probability.

    Args:
        alpha: Float in `[0, 1]`, weight of the false negatives (it is `alpha` of
            `keras.losses.Tversky` too, whose documentation says otherwise). Defaults to `0.7`.
        gamma: Float > 0, the exponent. Defaults to `0.75`.
        smooth: Float > 0, `s`. Defaults to `1.0`.
        from_logits: Boolean, whether the predictions are logits of a sigmoid.
            Defaults to `False`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"focal_tversky_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with labels and predictions of shape `(batch, ..., channels)` (labels may lack a
        channel axis of one, or be class ids): the reduced loss, one value per sample.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range, or, on a call, the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    labels = np.array([[[1.0], [1.0], [0.0]]])
    value = kr.losses.FocalTverskyLoss(alpha=0.7)(labels, np.array([[[0.9], [0.2], [0.3]]]))
    ```

    Reference:
        Abraham and Khan, "A Novel Focal Tversky Loss Function with Improved Attention U-Net for
        Lesion Segmentation", ISBI 2019, arXiv 1810.07842; as used by Radhakrishna et al.,
        arXiv 2407.08655.

    Deviations:
        Counts are per sample; the code of the second paper pools the batch. The base of the power
        is at least 1e-7.

    Cost:
        Three sums over the predictions.
    """

    def __init__(
        self,
        alpha: float = 0.7,
        *,
        gamma: float = 0.75,
        smooth: float = 1.0,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str = "focal_tversky_loss",
        dtype=None,
    ):
        check_number("alpha", alpha, minimum=0.0, maximum=1.0)
        check_number("gamma", gamma, exclusive_minimum=0.0)
        check_number("smooth", smooth, exclusive_minimum=0.0)
        check_boolean("from_logits", from_logits)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha = alpha
        self.gamma = gamma
        self.smooth = smooth
        self.from_logits = from_logits

    def call(self, y_true, y_pred):
        labels, found = as_probabilities(y_true, y_pred, self.from_logits)
        axes = tuple(range(1, len(found.shape)))
        hits = ops.sum(labels * found, axis=axes)
        missed = ops.sum(labels * (1.0 - found), axis=axes)
        spurious = ops.sum((1.0 - labels) * found, axis=axes)
        # One quotient: one minus the overlap would lose the digits of a small loss.
        errors = self.alpha * missed + (1.0 - self.alpha) * spurious
        share = errors / (hits + errors + self.smooth)
        return ops.power(ops.maximum(share, _SMALLEST), self.gamma)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "gamma": self.gamma,
            "smooth": self.smooth,
            "from_logits": self.from_logits,
        }
