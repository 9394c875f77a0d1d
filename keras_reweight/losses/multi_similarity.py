"""Multi-similarity loss."""

from __future__ import annotations

import keras

from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.losses._base_pair_loss import BasePairLoss
from keras_reweight.metric_learning.all_pairs import AllPairs
from keras_reweight.metric_learning.multi_similarity_miner import MultiSimilarityMiner
from keras_reweight.metric_learning.multi_similarity_weighting import MultiSimilarityWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class MultiSimilarityLoss(BasePairLoss):
    """Metric loss that mines and weights pairs by absolute and relative similarity.

    Use it as the first choice for embeddings that are searched by nearest neighbors. Each anchor
    keeps the pairs that compete with its hardest pair of the other kind within `epsilon`, and

    `l_i = log(1 + sum_P exp(-alpha (S_ij - base))) / alpha`
    `    + log(1 + sum_N exp(beta (S_ij - base))) / beta`.

    A batch needs several samples of several classes (`kr.data.ClassBalancedBatches`, five of each
    class in the paper). Each sample is an anchor with a loss of its own; `sample_weight` weights
    anchors, masked samples are no partners either.

    Args:
        alpha: Float > 0, sharpness for positives. Defaults to `2.0`.
        beta: Float > 0, sharpness for negatives. Defaults to `50.0`.
        base: Float, the similarity that divides easy from hard. Defaults to `0.5`.
        epsilon: Float >= 0, the margin of mining. Defaults to `0.1`.
        mining: Boolean, whether pairs are mined. Defaults to `True`.
        normalize: Boolean, whether similarities are cosines, otherwise scalar products of the
            embeddings as they are. Defaults to `True`.
        anchors: `"both"`: an anchor without a mined pair of either kind has no loss, and copies of
            the anchor (of cosine one) are no positives, as in the authors' code; `"any"`: each half
            counts by itself, as in pytorch-metric-learning. Defaults to `"both"`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`, which divides by
            the number of all samples.
        name: String, name of the loss. Defaults to `"multi_similarity_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        embeddings of shape `(batch, features)`: the reduced loss.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of range or `anchors` is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.MultiSimilarityLoss())
    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    batches = kr.data.ClassBalancedBatches(
        x, np.arange(30) % 3, classes_per_batch=3, samples_per_class=4
    )
    model.fit(batches, verbose=0)
    ```

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting", CVPR 2019, arXiv
        1904.06627; MalongTech/research-ms-loss.

    Deviations:
        The authors' configuration sets `beta` to 40, the paper and the default here to 50.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        *,
        beta: float = 50.0,
        base: float = 0.5,
        epsilon: float = 0.1,
        mining: bool = True,
        normalize: bool = True,
        anchors: str = "both",
        reduction: str | None = "sum_over_batch_size",
        name: str = "multi_similarity_loss",
        dtype=None,
    ):
        check_number("alpha", alpha, exclusive_minimum=0.0)
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("base", base)
        check_number("epsilon", epsilon, minimum=0.0)
        check_boolean("mining", mining)
        check_boolean("normalize", normalize)
        check_choice("anchors", anchors, ("both", "any"))
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.alpha = alpha
        self.beta = beta
        self.base = base
        self.epsilon = epsilon
        self.mining = mining
        self.normalize = normalize
        self.anchors = anchors

    def pair_weighting(self):
        return MultiSimilarityWeighting(self.alpha, beta=self.beta, base=self.base)

    def pair_miner(self):
        if not self.mining:
            return AllPairs()
        # Scalar products of one and more say nothing about copies.
        drop_duplicates = self.needs_both_kinds() and self.normalize
        return MultiSimilarityMiner(self.epsilon, drop_duplicates=drop_duplicates)

    def similarity_kind(self):
        return "cosine" if self.normalize else "dot"

    def needs_both_kinds(self):
        return self.anchors == "both"

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "alpha": self.alpha,
            "beta": self.beta,
            "base": self.base,
            "epsilon": self.epsilon,
            "mining": self.mining,
            "normalize": self.normalize,
            "anchors": self.anchors,
        }
