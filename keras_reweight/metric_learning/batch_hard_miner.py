"""The hardest pair of each kind."""

from __future__ import annotations

import keras

from keras_reweight.metric_learning._pairs import first_largest
from keras_reweight.metric_learning.pair_miner import PairMiner


@keras.saving.register_keras_serializable(package="keras_reweight")
class BatchHardMiner(PairMiner):
    """For each anchor its least similar positive and its most similar negative.

    Use it where easy pairs drown the rest and labels are clean: a mislabeled sample is the hardest
    pair of its class. Of equally hard pairs the first is taken, so that each anchor has at most
    one pair of each kind.

    Args:
        None.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: two masks with at
        most one true entry in each row.

    Raises:
        None.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    labels = np.array([0, 0, 0, 1])
    same = labels[:, None] == labels
    similarity = np.array(
        [[1.0, 0.9, 0.2, 0.5], [0.9, 1.0, 0.1, 0.3], [0.2, 0.1, 1.0, 0.4], [0.5, 0.3, 0.4, 1.0]]
    )
    miner = kr.metric_learning.BatchHardMiner()
    positives, negatives = miner(similarity, same & ~np.eye(4, dtype=bool), ~same)
    ```

    Reference:
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification",
        2017, arXiv 1703.07737, equation 5.
    """

    def mine(self, similarity, positives, negatives):
        return first_largest(-similarity, positives), first_largest(similarity, negatives)
