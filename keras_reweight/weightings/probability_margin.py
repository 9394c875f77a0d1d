"""Weights from the margin between class probabilities."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.labels import class_ids
from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.weightings._masked import NORMALIZATIONS, normalized
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ProbabilityMargin(Weighting):
    """Weights that grow with how far a sample is on the wrong side of the decision.

    Use it in adversarial training, with the predictions of the attacked samples: those near or
    beyond the decision boundary count more.

    The probability margin of a sample of class `y` is `m = max_{c != y} p_c - p_y`, between -1
    (certain and right) and 1 (certain and wrong); its weight is
    `scale * sigmoid(slope * (m + bias))`.

    Args:
        bias: Float, added to the margin. Defaults to `-1.5`.
        slope: Float > 0, how sharply the weight rises. Defaults to `1.0`.
        scale: Float > 0, factor of all weights; only a raw weight shows it. Defaults to `3.0`.
        from_logits: Boolean, whether `y_pred` holds logits, else probabilities. Defaults to `True`.
        normalization: `None` for the weights of the authors' code, `"mean_one"` or `"sum_one"`.
            Defaults to `None`.

    Returns:
        Called with losses of shape `(batch,)`, `y_true` of shape `(batch,)` (class ids) or
        `(batch, classes)` (one-hot) and `y_pred` of shape `(batch, classes)`: float32 weights of
        shape `(batch,)`, normalized as `normalization` says.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `slope` or `scale` is not positive or `normalization` is unknown; on a call,
            if `y_true` or `y_pred` is `None` or their shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.ProbabilityMargin(bias=-0.05, slope=10.0, normalization="mean_one")
    logits = np.array([[3.0, 1.0, 0.0], [1.0, 3.0, 0.0]], "float32")
    weights = weighting(np.array([0.2, 2.2]), y_true=np.array([0, 0]), y_pred=logits)
    ```

    Reference:
        Wang et al., "Probabilistic Margins for Instance Reweighting in Adversarial Training",
        NeurIPS 2021, arXiv 2106.07904 (MAIL).

    Deviations:
        The defaults are those of the authors' code, which multiplies by the constant `scale`; the
        paper normalizes the weights of a batch: `normalization="mean_one"`.

    Cost:
        One softmax of the logits; no extra passes, no state.
    """

    reads = ("y_true", "y_pred")

    def __init__(
        self,
        bias: float = -1.5,
        *,
        slope: float = 1.0,
        scale: float = 3.0,
        from_logits: bool = True,
        normalization: str | None = None,
    ):
        check_number("bias", bias)
        check_number("slope", slope, exclusive_minimum=0.0)
        check_number("scale", scale, exclusive_minimum=0.0)
        check_boolean("from_logits", from_logits)
        check_choice("normalization", normalization, NORMALIZATIONS)
        self.bias = bias
        self.slope = slope
        self.scale = scale
        self.from_logits = from_logits
        self.normalization = normalization

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        scores = ops.cast(ops.convert_to_tensor(y_pred), losses.dtype)
        ids = ops.expand_dims(class_ids(y_true, scores), axis=-1)
        own = ids == ops.arange(scores.shape[-1], dtype="int32")
        probabilities = ops.softmax(scores, axis=-1) if self.from_logits else scores
        zeros = ops.zeros_like(probabilities)
        target = ops.sum(ops.where(own, probabilities, zeros), axis=-1)
        others = ops.max(ops.where(own, zeros, probabilities), axis=-1)
        found = self.scale * ops.sigmoid(self.slope * (others - target + self.bias))
        return normalized(found, valid, self.normalization)

    def get_config(self) -> dict:
        return {
            "bias": self.bias,
            "slope": self.slope,
            "scale": self.scale,
            "from_logits": self.from_logits,
            "normalization": self.normalization,
        }
