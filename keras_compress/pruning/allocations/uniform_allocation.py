"""The same share everywhere."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import exact_counts, refine_sparsities


@keras.saving.register_keras_serializable(package="keras_compress")
class UniformAllocation(Allocation):
    """Prune the same share of every variable.

    `round(sparsity * n)` of the `n` weights of a variable are pruned, and at least one survives.
    Where that would leave less than `min_keep` demands, the other variables give more, so that the
    total stays the same.

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

    scores = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 5.0])]
    assert kc.pruning.UniformAllocation()(scores, 0.5) == [2, 1]
    ```

    Reference:
        Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878; also the layer-wise mode of
        github.com/tensorflow/model-optimization.
    """

    def counts(self, scores, sparsity, floors):
        sizes = [score.size for score in scores]
        counts = [min(round(sparsity * n), n - 1) for n in sizes]
        if all(n - c >= f for n, c, f in zip(sizes, counts, floors, strict=True)):
            return counts
        total = min(round(sparsity * sum(sizes)), sum(sizes) - sum(floors))
        sparsities = refine_sparsities(np.ones(len(sizes)), sizes, total / sum(sizes), floors)
        held = [int(np.isneginf(score).sum()) for score in scores]
        return exact_counts(sparsities, sizes, total, floors, held)
