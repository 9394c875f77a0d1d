"""Soft weights by absolute and relative similarity."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.metric_learning._pairs import log_one_plus_sum_exp, only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class MultiSimilarityWeighting(PairWeighting):
    """Weights that compare a pair with a base similarity and with the other pairs of its anchor.

    Use it as the default for retrieval embeddings. With `a = alpha`, `b = beta`:

    `l_i = log(1 + sum_P exp(-a (S_ij - base))) / a + log(1 + sum_N exp(b (S_ij - base))) / b`,

    so a positive weighs `exp(-a (S_ij - base)) / (1 + sum_P ...)` and a negative alike.

    Args:
        alpha: Float > 0, sharpness for positives. Defaults to `2.0`.
        beta: Float > 0, sharpness for negatives. Defaults to `50.0`.
        base: Float, the similarity that divides easy from hard. Defaults to `0.5`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape. The weights of an anchor's positives sum to less than one, and so do those
        of its negatives.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `alpha` or `beta` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.6], [0.4, 0.6, 1.0]], "float32")
    labels = np.array([0, 0, 1])
    weighting = kr.metric_learning.MultiSimilarityWeighting(beta=10.0)
    weights = kr.functional.pair_weights(similarity, labels, weighting=weighting)
    ```

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting", CVPR 2019, arXiv
        1904.06627 (the weighting step of its loss); MalongTech/research-ms-loss.
    """

    def __init__(self, alpha: float = 2.0, *, beta: float = 50.0, base: float = 0.5):
        check_number("alpha", alpha, exclusive_minimum=0.0)
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("base", base)
        self.alpha = alpha
        self.beta = beta
        self.base = base

    def _scores(self, similarity):
        centered = similarity - self.base
        return -self.alpha * centered, self.beta * centered

    def losses(self, similarity, positives, negatives):
        pull, push = self._scores(similarity)
        pull = log_one_plus_sum_exp(pull, positives) / self.alpha
        return pull + log_one_plus_sum_exp(push, negatives) / self.beta

    def weights(self, similarity, positives, negatives):
        pull, push = self._scores(similarity)
        return _shares(pull, positives) + _shares(push, negatives)

    def get_config(self) -> dict:
        return {"alpha": self.alpha, "beta": self.beta, "base": self.base}


def _shares(scores, mask):
    total = ops.expand_dims(log_one_plus_sum_exp(scores, mask), axis=-1)
    # Scores outside the mask may be far above the total and would overflow.
    return only(ops.exp(ops.minimum(scores - total, 0.0)), mask)
