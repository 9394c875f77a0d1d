"""General pair weights of a batch."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.metric_learning._pairs import at_least_float32, pair_masks, positions
from keras_reweight.metric_learning.binomial_deviance_weighting import BinomialDevianceWeighting
from keras_reweight.metric_learning.contrastive_weighting import ContrastiveWeighting
from keras_reweight.metric_learning.lifted_structure_weighting import LiftedStructureWeighting
from keras_reweight.metric_learning.multi_similarity_weighting import MultiSimilarityWeighting
from keras_reweight.metric_learning.n_pair_weighting import NPairWeighting
from keras_reweight.metric_learning.pair_miner import PairMiner
from keras_reweight.metric_learning.pair_weighting import PairWeighting
from keras_reweight.metric_learning.triplet_weighting import TripletWeighting

_BY_NAME = {
    "binomial_deviance": BinomialDevianceWeighting,
    "contrastive": ContrastiveWeighting,
    "lifted_structure": LiftedStructureWeighting,
    "multi_similarity": MultiSimilarityWeighting,
    "n_pair": NPairWeighting,
    "triplet": TripletWeighting,
}


def pair_weights(
    similarity: Any,
    labels: Any,
    *,
    weighting: str | PairWeighting = "multi_similarity",
    miner: PairMiner | None = None,
    mask: Any = None,
):
    """How much a pair loss weights each pair of a batch, `w_ij = |dl_i / dS_ij|`.

    Use it to look at what a metric loss trains on, to score hard pairs, or in a training loop of
    your own: the gradient of `sum_ij w_ij S_ij`, with a minus sign for positives and the weights
    as constants, is that of the loss. Weights belong to the loss of each anchor; the mean
    over the batch divides them by its size.

    Args:
        similarity: Float tensor of shape `(batch, batch)`, row `i` for anchor `i`.
        labels: Class ids of shape `(batch,)` or `(batch, 1)`, or one-hot labels of shape
            `(batch, classes)`.
        weighting: A `kr.metric_learning.PairWeighting`, or one with its default arguments by name:
            `"binomial_deviance"`, `"contrastive"`, `"lifted_structure"`, `"multi_similarity"`,
            `"n_pair"` or `"triplet"`. Defaults to `"multi_similarity"`.
        miner: A `kr.metric_learning.PairMiner`, or `None` for all pairs. Defaults to `None`.
        mask: Boolean tensor of shape `(batch,)`; `False` samples are no anchors and no partners.
            Defaults to `None`: all samples count.

    Returns:
        Float32 tensor of shape `(batch, batch)`, not negative, without a gradient. A sample has
        weight zero with itself.

    Raises:
        TypeError: If `weighting`, `miner` or `mask` is of another type.
        ValueError: If `weighting` is an unknown name, `similarity` is not square, or `labels` or
            `mask` do not fit it.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    z = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    miner = kr.metric_learning.MultiSimilarityMiner(epsilon=0.1)
    weights = kr.functional.pair_weights(z @ z.T, np.array([0, 0, 1, 1, 2, 2]), miner=miner)
    ```

    Reference:
        Wang et al., "Multi-Similarity Loss with General Pair Weighting", CVPR 2019, arXiv
        1904.06627 (general pair weighting).
    """
    if isinstance(weighting, str):
        if weighting not in _BY_NAME:
            raise ValueError(f"`weighting` must be one of {sorted(_BY_NAME)}, got {weighting!r}.")
        weighting = _BY_NAME[weighting]()
    if not isinstance(weighting, PairWeighting):
        raise TypeError(f"`weighting` must be a name or a PairWeighting, got {weighting!r}.")
    if miner is not None and not isinstance(miner, PairMiner):
        raise TypeError(f"`miner` must be a PairMiner or None, got {miner!r}.")
    similarity = at_least_float32(similarity)
    shape = tuple(similarity.shape)
    if len(shape) != 2 or (None not in shape and shape[0] != shape[1]):
        raise ValueError(f"`similarity` must be of shape (batch, batch), got {shape}.")
    labels = ops.convert_to_tensor(labels)
    if None not in (labels.shape[0], shape[0]) and labels.shape[0] != shape[0]:
        raise ValueError(
            f"`labels` must hold one label for each of the {shape[0]} rows of `similarity`, got "
            f"shape {tuple(labels.shape)}."
        )
    if mask is None:
        valid = ops.greater_equal(positions(similarity[:, 0]), 0)
    else:
        if not hasattr(mask, "shape"):
            raise TypeError(f"`mask` must be a boolean array or tensor, got {mask!r}.")
        if len(mask.shape) != 1:
            raise ValueError(f"`mask` must be of shape (batch,), got {tuple(mask.shape)}.")
        valid = ops.cast(ops.convert_to_tensor(mask), "bool")
    positives, negatives = pair_masks(labels, valid)
    if miner is not None:
        positives, negatives = miner(similarity, positives, negatives)
    return weighting(similarity, positives, negatives)
