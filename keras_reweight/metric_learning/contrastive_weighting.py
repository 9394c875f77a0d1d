"""Equal weights for the pairs on the wrong side of a margin."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.metric_learning._pairs import only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ContrastiveWeighting(PairWeighting):
    """Weight one for every pair on the wrong side of its margin, zero for the others.

    Use it as the plainest pair weighting, best behind a miner:
    `l_i = sum_P max(positive_margin - S_ij, 0) + sum_N max(S_ij - negative_margin, 0)`.
    For negative Euclidean distances the margins are negative numbers.

    Args:
        positive_margin: Float, positives at least this similar are done. Defaults to `1.0`.
        negative_margin: Float, negatives at most this similar are done. Defaults to `0.5`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape, zero or one.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not finite.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.6], [0.4, 0.6, 1.0]], "float32")
    weighting = kr.metric_learning.ContrastiveWeighting(negative_margin=0.5)
    weights = kr.functional.pair_weights(similarity, np.array([0, 0, 1]), weighting=weighting)
    ```

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
        CVPR 2006; in terms of similarities Wang et al., arXiv 1904.06627.

    Deviations:
        Linear in the similarity, as in the second paper; the first squares distances.
    """

    def __init__(self, positive_margin: float = 1.0, *, negative_margin: float = 0.5):
        check_number("positive_margin", positive_margin)
        check_number("negative_margin", negative_margin)
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin

    def losses(self, similarity, positives, negatives):
        pull = only(ops.relu(self.positive_margin - similarity), positives)
        push = only(ops.relu(similarity - self.negative_margin), negatives)
        return ops.sum(pull + push, axis=-1)

    def weights(self, similarity, positives, negatives):
        pull = ops.logical_and(positives, similarity < self.positive_margin)
        push = ops.logical_and(negatives, similarity > self.negative_margin)
        return ops.cast(ops.logical_or(pull, push), similarity.dtype)

    def get_config(self) -> dict:
        return {"positive_margin": self.positive_margin, "negative_margin": self.negative_margin}
