"""Weighted interval score of predicted quantiles."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.quantile_levels import check_quantiles, quantile_errors
from keras_reweight.core.validation import check_choice


@keras.saving.register_keras_serializable(package="keras_reweight")
class WeightedIntervalScore(keras.losses.Loss):
    """Score of the central prediction intervals that symmetric quantiles form.

    Use it to report forecasts, or as a loss. The levels `a/2` and `1 - a/2` bound the interval
    `[l, u]` with the score `IS_a = (u - l) + 2/a * max(0, l - y) + 2/a * max(0, y - u)`: its width,
    and a fine for missing. For `K` intervals and the median `m` the score of a sample is
    `(|y - m| / 2 + sum_k a_k / 2 * IS_k) / (K + 1/2)`, exactly twice the mean pinball loss.

    Args:
        quantiles: List of increasing floats strictly between 0 and 1, symmetric around 0.5, the
            level of each output; 0.5 itself may be missing.
        weighting: `"alpha"` as above, or `"uniform"` for the plain mean of the `IS_k`, without the
            median. Defaults to `"alpha"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String or `None`, name of the loss. Defaults to `"weighted_interval_score"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true` of shape `(batch, ...)` or `(batch, ..., 1)` and `y_pred` of shape
        `(batch, ..., quantiles)`, float: the reduced score, smaller is better.

    Raises:
        TypeError: If `quantiles` is not a list of numbers.
        ValueError: If `quantiles` do not increase inside (0, 1) or are not symmetric, `weighting`
            is unknown or, being `"uniform"`, has no interval; on a call, if the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    score = kr.losses.WeightedIntervalScore([0.1, 0.5, 0.9])
    value = score(np.array([1.2]), np.array([[0.5, 1.0, 2.0]]))
    ```

    Reference:
        Bracher, Ray, Gneiting and Reich, "Evaluating epidemic forecasts in an interval format",
        PLOS Computational Biology 2021, arXiv 2005.12881.

    Deviations:
        `"uniform"` is what the code of Fakoor et al. (arXiv 2103.00083) averages. Without the
        median the divisor is `K` instead of `K + 1/2`, so that the score stays twice the mean
        pinball loss.
    """

    def __init__(
        self,
        quantiles: list[float],
        *,
        weighting: str = "alpha",
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "weighted_interval_score",
        dtype: Any = None,
    ):
        levels = check_quantiles("quantiles", quantiles)
        if not np.allclose(levels + levels[::-1], 1.0, atol=1e-6):
            raise ValueError(f"`quantiles` must be symmetric around 0.5, got {quantiles!r}.")
        check_choice("weighting", weighting, ("alpha", "uniform"))
        if weighting == "uniform" and len(levels) < 2:
            raise ValueError(f"`weighting`='uniform' needs an interval, got {quantiles!r}.")
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        self.quantiles = quantiles
        self.weighting = weighting

    def call(self, y_true, y_pred):
        levels = check_quantiles("quantiles", self.quantiles)
        errors = quantile_errors(y_true, y_pred, len(levels))
        intervals = len(levels) // 2
        low, high = errors[..., :intervals], ops.flip(errors, axis=-1)[..., :intervals]
        alpha = ops.convert_to_tensor(2 * levels[:intervals], errors.dtype)
        # Half the score times alpha, which stays moderate for levels close to zero.
        scores = (low - high) * alpha / 2 + ops.relu(-low) + ops.relu(high)
        if self.weighting == "uniform":
            return ops.mean(scores * 2 / alpha, axis=-1)
        total = ops.sum(scores, axis=-1)
        if len(levels) % 2:
            total = total + ops.abs(errors[..., intervals]) / 2
        return total / (len(levels) / 2)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "quantiles": self.quantiles,
            "weighting": self.weighting,
        }
