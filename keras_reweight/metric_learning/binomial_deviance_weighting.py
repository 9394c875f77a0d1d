"""Sigmoid weights around a base similarity."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.metric_learning._pairs import count, mean_over, only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class BinomialDevianceWeighting(PairWeighting):
    """Weights by the similarity of a pair alone, a soft form of the contrastive margin.

    Use it where each pair is to count by itself, whatever the other pairs of the anchor are:
    `l_i = mean_P log(1 + exp(alpha (base - S_ij))) + mean_N log(1 + exp(beta (S_ij - base)))`.
    Positives and negatives are averaged apart, so neither kind outnumbers the other.

    Args:
        alpha: Float > 0, sharpness for positives. Defaults to `2.0`.
        beta: Float > 0, sharpness for negatives. Defaults to `50.0`.
        base: Float, the similarity that divides easy from hard. Defaults to `0.5`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `alpha` or `beta` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.6], [0.4, 0.6, 1.0]], "float32")
    weighting = kr.metric_learning.BinomialDevianceWeighting(beta=25.0)
    weights = kr.functional.pair_weights(similarity, np.array([0, 0, 1]), weighting=weighting)
    ```

    Reference:
        Yi, Lei and Li, "Deep Metric Learning for Practical Person Re-Identification", 2014, arXiv
        1407.4979; in terms of pair weights Wang et al., arXiv 1904.06627.
    """

    def __init__(self, alpha: float = 2.0, *, beta: float = 50.0, base: float = 0.5):
        check_number("alpha", alpha, exclusive_minimum=0.0)
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("base", base)
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def losses(self, similarity, positives, negatives):
        centered = similarity - self.base
        pull = mean_over(ops.softplus(-self.alpha * centered), positives)
        return pull + mean_over(ops.softplus(self.beta * centered), negatives)

    def weights(self, similarity, positives, negatives):
        centered = similarity - self.base
        return _shares(-centered, positives, self.alpha) + _shares(centered, negatives, self.beta)

    def get_config(self) -> dict:
        return {"alpha": self.alpha, "beta": self.beta, "base": self.base}


def _shares(excess, mask, sharpness):
    slopes = sharpness * ops.sigmoid(sharpness * excess)
    return only(slopes, mask) / ops.expand_dims(count(mask, excess.dtype), axis=-1)
