"""Weights by the number of violated triplets."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_boolean, check_choice, check_number
from keras_reweight.metric_learning._pairs import first_largest, only
from keras_reweight.metric_learning.pair_weighting import PairWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class TripletWeighting(PairWeighting):
    """Weights by how many triplets of anchor, positive and negative a pair violates.

    Use it for embeddings compared by distance. The loss of an anchor is the mean over its triplets
    of `max(S_an - S_ap + margin, 0)`, or of `log(1 + exp(S_an - S_ap + margin))` if `soft`.
    `triplets` says which:

    - `"hardest"`: the least similar positive with the most similar negative.
    - `"semi_hard"`: each positive with the most similar negative that is less similar than that
      positive; where there is none, with the least similar negative.
    - `"all"`: every positive with every negative. Easy triplets soon outnumber the others.

    Args:
        margin: Float, how much more similar positives shall be than negatives. Defaults to `0.2`.
        triplets: `"hardest"`, `"semi_hard"` or `"all"`. Defaults to `"hardest"`.
        soft: Boolean, whether the hinge is replaced by a softplus. Defaults to `False`.

    Returns:
        Called with similarities and two boolean masks of shape `(batch, batch)`: float32 weights
        of that shape.

    Raises:
        TypeError: If `margin` is not a number or `soft` not a boolean.
        ValueError: If `triplets` is unknown.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    similarity = np.array([[1.0, 0.8, 0.7], [0.8, 1.0, 0.6], [0.7, 0.6, 1.0]], "float32")
    weighting = kr.metric_learning.TripletWeighting(margin=0.15, triplets="all")
    weights = kr.functional.pair_weights(similarity, np.array([0, 0, 1]), weighting=weighting)
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

    def __init__(self, margin: float = 0.2, *, triplets: str = "hardest", soft: bool = False):
        check_number("margin", margin)
        check_choice("triplets", triplets, ("hardest", "semi_hard", "all"))
        check_boolean("soft", soft)
        self.margin = margin
        self.triplets = triplets
        self.soft = soft

    def _chosen(self, similarity, positives, negatives):
        """Mask `(anchor, positive, negative)` of the triplets that count."""
        pairs = ops.logical_and(ops.expand_dims(positives, 2), ops.expand_dims(negatives, 1))
        if self.triplets == "all":
            return pairs
        scores = ops.stop_gradient(similarity)
        positive, negative = ops.expand_dims(scores, 2), ops.expand_dims(scores, 1)
        farther = ops.logical_and(pairs, negative < positive)
        nearer = ops.logical_and(pairs, ops.logical_not(farther))
        preferred = ops.where(ops.any(farther, axis=-1, keepdims=True), farther, nearer)
        # Of the farther negatives the most similar, of the nearer ones the least similar.
        return first_largest(ops.where(farther, negative, -negative), preferred)

    def _violations(self, similarity, positives, negatives):
        """Violations and mask of the triplets, shape `(anchor, positive, negative)`."""
        mask = self._chosen(similarity, positives, negatives)
        gaps = ops.expand_dims(similarity, 1) - ops.expand_dims(similarity, 2)
        return gaps + self.margin, mask

    def _penalty(self, violations):
        return ops.softplus(violations) if self.soft else ops.relu(violations)

    def _slope(self, violations):
        if self.soft:
            return ops.sigmoid(violations)
        return ops.cast(violations > 0.0, violations.dtype)

    def _hardest(self, similarity, positives, negatives):
        """Masks of the hardest pair of each kind and the violation of their triplet."""
        scores = ops.stop_gradient(similarity)
        both = ops.logical_and(ops.any(positives, axis=-1), ops.any(negatives, axis=-1))
        both = ops.expand_dims(both, axis=-1)
        positives = ops.logical_and(first_largest(-scores, positives), both)
        negatives = ops.logical_and(first_largest(scores, negatives), both)
        push = ops.sum(only(similarity, negatives), axis=-1, keepdims=True)
        gap = push - ops.sum(only(similarity, positives), axis=-1, keepdims=True)
        return positives, negatives, gap + self.margin, both

    def losses(self, similarity, positives, negatives):
        if self.triplets == "hardest":
            _, _, violation, both = self._hardest(similarity, positives, negatives)
            return ops.squeeze(only(self._penalty(violation), both), axis=-1)
        violations, mask = self._violations(similarity, positives, negatives)
        total = ops.sum(only(self._penalty(violations), mask), axis=(1, 2))
        return total / _triplet_count(mask, total.dtype)

    def weights(self, similarity, positives, negatives):
        if self.triplets == "hardest":
            positives, negatives, violation, _ = self._hardest(similarity, positives, negatives)
            return only(
                ops.broadcast_to(self._slope(violation), ops.shape(similarity)),
                ops.logical_or(positives, negatives),
            )
        violations, mask = self._violations(similarity, positives, negatives)
        slopes = only(self._slope(violations), mask)
        total = ops.sum(slopes, axis=2) + ops.sum(slopes, axis=1)
        return total / ops.expand_dims(_triplet_count(mask, total.dtype), axis=-1)

    def get_config(self) -> dict:
        return {"margin": self.margin, "triplets": self.triplets, "soft": self.soft}


def _triplet_count(mask, dtype):
    return ops.maximum(ops.sum(ops.cast(mask, dtype), axis=(1, 2)), 1.0)
