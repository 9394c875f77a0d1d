"""No mining."""

from __future__ import annotations

import keras

from keras_reweight.metric_learning.pair_miner import PairMiner


@keras.saving.register_keras_serializable(package="keras_reweight")
class AllPairs(PairMiner):
    """Every pair of the batch.

    Use it with weightings that weight all pairs softly by themselves (N-pair, multi-similarity
    without mining), and for small batches.

    Args:
        None.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: the two masks.

    Raises:
        None.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    same = np.array([[False, True], [True, False]])
    positives, negatives = kr.metric_learning.AllPairs()(np.eye(2), same, ~same)
    ```

    Reference:
        None; the neutral element of mining.
    """

    def mine(self, similarity, positives, negatives):
        return positives, negatives
