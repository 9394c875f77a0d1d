"""Softmax weights of the pairs of an anchor."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.metric_learning._pairs import log_sum_exp, only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class LiftedStructureWeighting(PairWeighting):
    """Weights that compare each pair with the other pairs of its anchor only.

    Use it where a hard batch should not weigh more than an easy one: each anchor below the margin
    hands out weight one to its positives and weight one to its negatives, by a softmax.
    `l_i = max(log sum_P exp(margin - S_ij) + log sum_N exp(S_ij), 0)`.

    Args:
        margin: Float, how much more similar positives shall be than negatives. Defaults to `1.0`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape. Anchors without positives or without negatives have none.

    Raises:
        TypeError: If `margin` is not a number.
        ValueError: If `margin` is not finite.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.4], [0.8, 1.0, 0.6], [0.4, 0.6, 1.0]], "float32")
    weighting = kr.metric_learning.LiftedStructureWeighting(margin=0.5)
    weights = kr.functional.pair_weights(similarity, np.array([0, 0, 1]), weighting=weighting)
    ```

    Reference:
        Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016,
        arXiv 1511.06452; for each anchor: Hermans, Beyer and Leibe, arXiv 1703.07737, section 2.

    Deviations:
        The form of the second paper, which sums over the positives of an anchor too.
    """

    def __init__(self, margin: float = 1.0):
        check_number("margin", margin)
        self.margin = margin

    def _excess(self, similarity, positives, negatives):
        pull = log_sum_exp(self.margin - similarity, positives)
        return pull, log_sum_exp(similarity, negatives)

    def losses(self, similarity, positives, negatives):
        pull, push = self._excess(similarity, positives, negatives)
        return ops.relu(pull + push)

    def weights(self, similarity, positives, negatives):
        pull, push = self._excess(similarity, positives, negatives)
        active = ops.expand_dims(pull + push > 0.0, axis=-1)
        pull = _shares(self.margin - similarity, pull, ops.logical_and(positives, active))
        return pull + _shares(similarity, push, ops.logical_and(negatives, active))

    def get_config(self) -> dict:
        return {"margin": self.margin}


def _shares(scores, total, mask):
    return only(ops.exp(ops.minimum(scores - ops.expand_dims(total, axis=-1), 0.0)), mask)
