"""What all losses of labeled pairs share."""

from __future__ import annotations

from keras import ops

from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import only, pair_masks, similarity_matrix
from keras_reweight.metric_learning.all_pairs import AllPairs
from keras_reweight.metric_learning.pair_miner import PairMiner
from keras_reweight.metric_learning.pair_weighting import PairWeighting


class BasePairLoss(MaskedLoss):
    """A pair weighting behind a miner, on embeddings and labels; one value for each anchor."""

    def pair_weighting(self) -> PairWeighting:
        raise NotImplementedError(f"{type(self).__name__} must define pair_weighting().")

    def pair_miner(self) -> PairMiner:
        return AllPairs()

    def similarity_kind(self) -> str:
        return "cosine"

    def needs_both_kinds(self) -> bool:
        """Whether an anchor without a mined positive or a mined negative has no loss."""
        return False

    def losses(self, y_true, y_pred, mask):
        similarity = similarity_matrix(y_pred, self.similarity_kind())
        positives, negatives = self.pair_miner()(similarity, *pair_masks(y_true, mask))
        values = self.pair_weighting().losses(similarity, positives, negatives)
        counted = mask
        if self.needs_both_kinds():
            counted = ops.logical_and(counted, ops.any(positives, axis=-1))
            counted = ops.logical_and(counted, ops.any(negatives, axis=-1))
        return only(values, counted)
