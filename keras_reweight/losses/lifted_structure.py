"""Generalized lifted structure loss."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.lifted_structure_weighting import LiftedStructureWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class LiftedStructureLoss(BasePairLoss):
    """All positives and all negatives of an anchor against each other, by a softmax.

    Use it where a hard batch should not weigh more than an easy one: each anchor below the margin
    hands out weight one to its positives and weight one to its negatives. The loss of an anchor is
    `max(log sum_P exp(margin - S_ij) + log sum_N exp(S_ij), 0)`; anchors without a positive or
    without a negative have none.

    A batch needs several samples of several classes: `kr.data.ClassBalancedBatches`. Each sample
    is an anchor with a loss of its own; `sample_weight` weights anchors, masked samples are no
    partners either.

    Args:
        margin: Float, how much more similar positives shall be than negatives. Defaults to `1.0`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"euclidean"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"lifted_structure_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If `margin` is not a number.
        ValueError: If `margin` is not finite or `similarity` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.LiftedStructureLoss(margin=0.5))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016,
        arXiv 1511.06452; for each anchor: Hermans, Beyer and Leibe, arXiv 1703.07737, section 2.

    Deviations:
        The form of the second paper, which sums over the positives of an anchor too.
    """

    def __init__(
        self,
        margin: float = 1.0,
        *,
        similarity: str = "euclidean",
        reduction: str | None = "sum_over_batch_size",
        name: str = "lifted_structure_loss",
        dtype=None,
    ):
        check_number("margin", margin)
        check_choice("similarity", similarity, SIMILARITIES)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin
        self.similarity = similarity

    def pair_weighting(self):
        return LiftedStructureWeighting(self.margin)

    def similarity_kind(self):
        return self.similarity

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "margin": self.margin,
            "similarity": self.similarity,
        }
