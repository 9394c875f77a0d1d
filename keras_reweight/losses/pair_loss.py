"""Any pair weighting behind any miner, as a loss."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_choice
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning._pairs import SIMILARITIES
from keras_reweight.metric_learning.all_pairs import AllPairs
from keras_reweight.metric_learning.pair_miner import PairMiner
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class PairLoss(BasePairLoss):
    """A metric-learning loss made of a miner and a pair weighting.

    Use it to combine what the ready losses keep apart, such as the multi-similarity miner with the
    N-pair weighting, or with a weighting or miner of your own. All pairs of the batch are compared,
    so a batch needs several samples of several classes: `kr.data.ClassBalancedBatches`.

    Each sample is an anchor with a loss of its own. `sample_weight` weights anchors; masked samples
    are no partners either.

    Args:
        weighting: A `kr.metric_learning.PairWeighting`.
        miner: A `kr.metric_learning.PairMiner`, or `None` for all pairs. Defaults to `None`.
        similarity: `"cosine"`, `"dot"` or `"euclidean"`, the negative distance. Defaults to
            `"cosine"`.
        anchors: `"any"`, or `"both"`: anchors without a mined positive or without a mined negative
            have no loss. Defaults to `"any"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"pair_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If `weighting` or `miner` is of another type.
        ValueError: If `similarity` or `anchors` is unknown, or, on a call, for other shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.PairLoss(
        kr.metric_learning.NPairWeighting(0.2), kr.metric_learning.MultiSimilarityMiner()
    )
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", loss)
    x = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
    model.fit(x, np.arange(12) % 3, batch_size=12, verbose=0)
    ```

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting", CVPR 2019, arXiv
        1904.06627 (general pair weighting).

    Cost:
        A `(batch, batch)` matrix of similarities, in float32 or better whatever the policy.
    """

    def __init__(
        self,
        weighting: PairWeighting,
        miner: PairMiner | None = None,
        *,
        similarity: str = "cosine",
        anchors: str = "any",
        reduction: str | None = "sum_over_batch_size",
        name: str = "pair_loss",
        dtype=None,
    ):
        if not isinstance(weighting, PairWeighting):
            raise TypeError(f"`weighting` must be a PairWeighting, got {weighting!r}.")
        if miner is not None and not isinstance(miner, PairMiner):
            raise TypeError(f"`miner` must be a PairMiner or None, got {miner!r}.")
        check_choice("similarity", similarity, SIMILARITIES)
        check_choice("anchors", anchors, ("any", "both"))
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.weighting = weighting
        self.miner = miner
        self.similarity = similarity
        self.anchors = anchors

    def pair_weighting(self):
        return self.weighting

    def pair_miner(self):
        return AllPairs() if self.miner is None else self.miner

    def similarity_kind(self):
        return self.similarity

    def needs_both_kinds(self):
        return self.anchors == "both"

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "weighting": keras.saving.serialize_keras_object(self.weighting),
            "miner": keras.saving.serialize_keras_object(self.miner),
            "similarity": self.similarity,
            "anchors": self.anchors,
        }

    @classmethod
    def from_config(cls, config: dict):
        config = dict(config)
        for key in ("weighting", "miner"):
            config[key] = keras.saving.deserialize_keras_object(config[key])
        return cls(**config)
