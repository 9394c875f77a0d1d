"""Mining by the hardest pair of the other kind."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.metric_learning._pairs import FAR, only
from keras_reweight.metric_learning.pair_miner import PairMiner

# Unit vectors at least this similar count as the same image.
_DUPLICATE = 1.0 - 1e-5


@keras.saving.register_keras_serializable(package="keras_reweight")
class MultiSimilarityMiner(PairMiner):
    """Pairs that compete with the hardest pair of the other kind.

    Use it in front of any pair weighting to leave out the easy pairs. Anchor `i` keeps the
    negatives with `S_ij + epsilon > min_P S_i` and the positives with `S_ij - epsilon < max_N S_i`;
    the minimum and the maximum are those of all its pairs. An anchor that lacks one kind keeps
    no pair at all.

    Args:
        epsilon: Float >= 0, the margin of the comparison. Defaults to `0.1`.
        drop_duplicates: Boolean, whether positives with `S_ij >= 1 - 1e-5` are left out before the
            comparison, as copies of the anchor; meant for cosines. Defaults to `False`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: the selected
        positives and negatives.

    Raises:
        TypeError: If `epsilon` is not a number or `drop_duplicates` not a boolean.
        ValueError: If `epsilon` is negative.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    labels = np.array([0, 0, 1])
    same = labels[:, None] == labels
    similarity = np.array([[1.0, 0.8, 0.75], [0.8, 1.0, 0.1], [0.75, 0.1, 1.0]])
    miner = kr.metric_learning.MultiSimilarityMiner(epsilon=0.1)
    positives, negatives = miner(similarity, same & ~np.eye(3, dtype=bool), ~same)
    ```

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting", CVPR 2019, arXiv
        1904.06627 (the mining step of its loss).

    Deviations:
        The authors' code drops duplicates, pytorch-metric-learning does not.
    """

    def __init__(self, epsilon: float = 0.1, *, drop_duplicates: bool = False):
        check_number("epsilon", epsilon, minimum=0.0)
        check_boolean("drop_duplicates", drop_duplicates)
        self.epsilon = epsilon
        self.drop_duplicates = drop_duplicates

    def mine(self, similarity, positives, negatives):
        if self.drop_duplicates:
            positives = ops.logical_and(positives, similarity < _DUPLICATE)
        hardest_positive = ops.min(only(similarity, positives, FAR), axis=-1, keepdims=True)
        hardest_negative = ops.max(only(similarity, negatives, -FAR), axis=-1, keepdims=True)
        return (
            ops.logical_and(positives, similarity - self.epsilon < hardest_negative),
            ops.logical_and(negatives, similarity + self.epsilon > hardest_positive),
        )

    def get_config(self) -> dict:
        return {"epsilon": self.epsilon, "drop_duplicates": self.drop_duplicates}
