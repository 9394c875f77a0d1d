"""Contrastive loss of labeled pairs."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.contrastive_weighting import ContrastiveWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ContrastiveLoss(BasePairLoss):
    """Pairs of one class above one similarity, pairs of two classes below another.

    Use it as the plainest metric loss, or where the margins mean something. The loss of an anchor
    is `sum_P max(positive_margin - S_ij, 0) + sum_N max(S_ij - negative_margin, 0)`; every pair
    on the wrong side weighs one. For `similarity="euclidean"`, the negative distance, give the
    margins as negative numbers.

    A batch needs several samples of several classes: `kr.data.ClassBalancedBatches`. Each sample
    is an anchor with a loss of its own; `sample_weight` weights anchors, masked samples are no
    partners either.

    Args:
        positive_margin: Float, positives at least this similar are done. Defaults to `1.0`.
        negative_margin: Float, negatives at most this similar are done. Defaults to `0.5`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"cosine"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"contrastive_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If a margin is not a number.
        ValueError: If a margin is not finite or `similarity` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.ContrastiveLoss(negative_margin=0.4))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Hadsell, Chopra and LeCun, "Dimensionality Reduction by Learning an Invariant Mapping",
        CVPR 2006; in terms of similarities Wang et al., arXiv 1904.06627.

    Deviations:
        Linear in the similarity, as in the second paper; the first squares distances.
    """

    def __init__(
        self,
        positive_margin: float = 1.0,
        *,
        negative_margin: float = 0.5,
        similarity: str = "cosine",
        reduction: str | None = "sum_over_batch_size",
        name: str = "contrastive_loss",
        dtype=None,
    ):
        check_number("positive_margin", positive_margin)
        check_number("negative_margin", negative_margin)
        check_choice("similarity", similarity, SIMILARITIES)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.similarity = similarity

    def pair_weighting(self):
        return ContrastiveWeighting(self.positive_margin, negative_margin=self.negative_margin)

    def similarity_kind(self):
        return self.similarity

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "positive_margin": self.positive_margin,
            "negative_margin": self.negative_margin,
            "similarity": self.similarity,
        }
