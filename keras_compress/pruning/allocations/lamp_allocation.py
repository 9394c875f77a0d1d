"""A global ranking that sees each weight beside those of its layer."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.pruning.allocations.global_allocation import GlobalAllocation


@keras.saving.register_keras_serializable(package="keras_compress")
class LAMPAllocation(GlobalAllocation):
    """Layer-adaptive magnitudes: rank all weights together by their share of what is left.

    Each score is squared and divided by the sum of the squares of its variable that are not
    smaller: `lamp(u) = s_u**2 / sum(s_v**2 for s_v >= s_u)`. The largest of every variable gets 1,
    so that no layer vanishes, and layers of small weights are not emptied for being small. As good
    as hand-tuned layer sparsities without a choice to make; beyond 90 % often better than
    `GlobalAllocation`. Within a variable the order stays that of the criterion.

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

    scores = [np.array([0.01, 0.02, 0.03]), np.array([4.0, 5.0, 6.0])]
    assert kc.pruning.GlobalAllocation(min_keep=0.0)(scores, 0.5) == [3, 0]
    assert kc.pruning.LAMPAllocation(min_keep=0.0)(scores, 0.5) == [2, 1]
    ```

    Reference:
        Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", ICLR 2021,
        arXiv 2010.07611, equation 3; official code github.com/jaeho-lee/layer-adaptive-sparsity.

    Deviations:
        Scores below zero (signed criteria) count as zero, and a variable whose scores are all zero
        gets zeros where the official code divides by zero.
    """

    def counts(self, scores, sparsity, floors):
        return super().counts([lamp_scores(score) for score in scores], sparsity, floors)


def lamp_scores(scores: np.ndarray) -> np.ndarray:
    """LAMP scores of one array; `inf` (must stay) and `-inf` (gone) pass and do not count."""
    flat = np.asarray(scores, "float64").reshape(-1)
    squares = np.where(np.isfinite(flat), np.maximum(flat, 0.0), 0.0)
    # Relative to the largest: squares of float32 weights would leave float64 only if they had to.
    squares = (squares / max(squares.max(initial=0.0), np.finfo("float64").tiny)) ** 2
    order = np.argsort(squares, kind="stable")
    left = np.cumsum(squares[order][::-1])[::-1]
    ranked = np.divide(squares[order], left, out=np.zeros_like(left), where=left > 0.0)
    result = np.empty_like(flat)
    result[order] = ranked
    return np.where(np.isfinite(flat), result, flat).reshape(np.shape(scores))
