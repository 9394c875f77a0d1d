"""Triplet loss with mining inside the batch."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.triplet_weighting import TripletWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class TripletLoss(BasePairLoss):
    """Each anchor closer to its class than to the others, by a margin.

    Use it for embeddings compared by distance. The loss of an anchor is the mean over its triplets
    of `max(S_an - S_ap + margin, 0)`, or of `log(1 + exp(S_an - S_ap + margin))` if `soft`. The
    triplets are the `"hardest"` positive with the hardest negative; each positive with its
    `"semi_hard"` negative, the most similar one that is less similar than the positive (else the
    least similar negative); or `"all"`. Start from semi-hard where the hardest triplets collapse
    the embedding.

    A batch needs several samples of several classes: `kr.data.ClassBalancedBatches`. Each sample
    is an anchor with a loss of its own; `sample_weight` weights anchors, masked samples are no
    partners either.

    Args:
        margin: Float, how much more similar positives shall be than negatives. Defaults to `0.2`.
        triplets: `"hardest"`, `"semi_hard"` or `"all"`. Defaults to `"hardest"`.
        soft: Boolean, whether the hinge is replaced by a softplus. Defaults to `False`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"euclidean"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"triplet_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If `margin` is not a number or `soft` not a boolean.
        ValueError: If `margin` is not finite, or `triplets` or `similarity` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.TripletLoss(triplets="semi_hard"))
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, arXiv 1503.03832, section 3.2;
        Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person Re-Identification",
        2017, arXiv 1703.07737, equations 5 and 6.

    Deviations:
        Means are taken over all triplets of an anchor, not over the violated ones only.

    Cost:
        Values for `batch^3` triplets, but for `"hardest"` only `batch^2`.
    """

    def __init__(
        self,
        margin: float = 0.2,
        *,
        triplets: str = "hardest",
        soft: bool = False,
        similarity: str = "euclidean",
        reduction: str | None = "sum_over_batch_size",
        name: str = "triplet_loss",
        dtype=None,
    ):
        check_number("margin", margin)
        check_choice("triplets", triplets, ("hardest", "semi_hard", "all"))
        check_boolean("soft", soft)
        check_choice("similarity", similarity, SIMILARITIES)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.margin = margin
        self.triplets = triplets
        self.soft = soft
        self.similarity = similarity

    def pair_weighting(self):
        return TripletWeighting(self.margin, triplets=self.triplets, soft=self.soft)

    def similarity_kind(self):
        return self.similarity

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "margin": self.margin,
            "triplets": self.triplets,
            "soft": self.soft,
            "similarity": self.similarity,
        }
