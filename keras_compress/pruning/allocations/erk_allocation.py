"""Density by the sum of the axes of a kernel."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.allocations.min_keep import (
    exact_counts,
    held_counts,
    prune_total,
    share_out,
)


@keras.saving.register_keras_serializable(package="keras_compress")
class ERKAllocation(Allocation):
    """Erdos-Renyi kernel: survivors in proportion to the sum of the axes of each kernel.

    A kernel of shape `(kh, kw, in, out)` keeps a number of weights proportional to
    `kh + kw + in + out`; where that is more than it has, it stays dense and the others give more.
    Large layers lose most, small ones little, by the shapes alone: the usual distribution for
    sparse training from random weights, and a safe one at 95 % and more. It removes fewer
    multiplications than a uniform sparsity does. With trained weights, `GlobalAllocation` or
    `LAMPAllocation` know more.

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

    scores = [np.ones((3, 3, 3, 16)), np.ones((3, 3, 16, 64)), np.ones((128, 10))]
    assert kc.pruning.ERKAllocation()(scores, 0.8) == [213, 8461, 68]
    ```

    Reference:
        Mocanu et al., "Scalable Training of Artificial Neural Networks with Adaptive Sparse
        Connectivity", arXiv 1707.04780 (Erdos-Renyi), and Evci et al., "Rigging the Lottery",
        arXiv 1911.11134, section 3 (kernels).

    Deviations:
        The counts add up to the wanted total exactly, where the official code rounds each layer on
        its own. Kernels of attention are `(dim, heads, dim of a head)` and counted as such.
    """

    def plan(self, scores, sparsity, floors, context):
        sizes = [score.size for score in scores]
        total = prune_total(sparsity, sizes, floors)
        if context is None:
            shapes = [score.shape for score in scores]
        else:
            shapes = [tuple(variable.shape) for variable in context.variables]
        # The density of the weights, in units of a pattern.
        weights = [
            size * sum(shape) / np.prod(shape, dtype="float64")
            for size, shape in zip(sizes, shapes, strict=True)
        ]
        survivors = share_out(weights, floors, sizes, sum(sizes) - total)
        return exact_counts(1.0 - survivors / sizes, sizes, total, floors, held_counts(scores))
