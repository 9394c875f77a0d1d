"""All weights compete."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import exact_counts, refine_sparsities


@keras.saving.register_keras_serializable(package="keras_compress")
class GlobalAllocation(Allocation):
    """Rank the weights of all variables together and prune the lowest.

    Exactly `round(sparsity * n)` of the `n` weights are pruned; of equal scores the one with the
    lower index goes first. Where a variable would keep less than `min_keep` demands, the sparsities
    of all variables are scaled by one factor and cut off there, so that the total stays the same.

    Args:
        min_keep: Float in `[0, 1)`, share of all prunable weights that must survive in each
            variable, at least one if above 0; smaller variables stay dense. Defaults to `0.0005`.

    Returns:
        A callable `(scores, sparsity) -> list of int`, where `scores` is a list of float arrays of
        the shapes of the variables.

    Raises:
        TypeError: If `min_keep` is not a number.
        ValueError: If `min_keep` is outside `[0, 1)`; when called, if `sparsity` is outside
            `[0, 1)` or leaves less than `min_keep` demands.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    scores = [np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])]
    assert kc.pruning.GlobalAllocation(min_keep=0.0)(scores, 0.5) == [3, 0]
    assert kc.pruning.GlobalAllocation(min_keep=0.2)(scores, 0.5) == [2, 1]
    ```

    Reference:
        Gupta et al., "Is Complexity Required for Neural Network Pruning? A Case Study on Global
        Magnitude Pruning", arXiv 2209.14624, with its minimum threshold; official code
        github.com/manasgupta-1/GlobalMP.

    Deviations:
        The official code states the minimum in percent, prunes one weight less than asked for,
        keeps all ties, and does not end if the minimum makes the target unreachable.
    """

    def counts(self, scores, sparsity, floors):
        sizes = [score.size for score in scores]
        total = min(round(sparsity * sum(sizes)), sum(sizes) - max(sum(floors), 1))
        if total <= 0:
            return [0] * len(sizes)
        flat = np.concatenate([np.ravel(score) for score in scores])
        threshold = np.partition(flat, total - 1)[total - 1]
        below = [int((score < threshold).sum()) for score in scores]
        ties = total - sum(below)
        counts = []
        for score, count in zip(scores, below, strict=True):
            taken = min(ties, int((score == threshold).sum()))
            ties -= taken
            counts.append(count + taken)
        if all(n - c >= f for n, c, f in zip(sizes, counts, floors, strict=True)):
            return counts
        sparsities = refine_sparsities(np.divide(counts, sizes), sizes, total / sum(sizes), floors)
        held = [int(np.isneginf(score).sum()) for score in scores]
        return exact_counts(sparsities, sizes, total, floors, held)
