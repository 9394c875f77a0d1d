"""How unequal the weights are: the measure of incomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_compress.pruning.pq_index import check_axis, magnitudes


def gini_index(weights: Any, *, mask: Any = None, axis: int | None = None) -> float | np.ndarray:
    """Gini index of the magnitudes of weights.

    With the `d` surviving magnitudes in ascending order, `a_1 <= ... <= a_d`, it is
    `1 - 2 * sum_k a_k / sum(a) * (d - k + 1/2) / d`: 0 where all are equal, `1 - 1/d` where one
    holds everything. Needs a sort where `pq_index` needs powers, and has no exponents to choose.

    Args:
        weights: Float array, tensor or variable of any shape.
        mask: Bool array of the shape of `weights`, true where a weight is still there; `None` for
            all.
        axis: Integer, the axis that makes one vector: `0` for the output units of a dense kernel.
            `None` takes the whole array.

    Returns:
        Float, or float array of the shape of `weights` without `axis`; 0 where nothing survives or
        all that survives is zero.

    Raises:
        TypeError: If `axis` is no integer.
        ValueError: If `mask` has another shape, there is no such `axis`, or a weight is NaN.

    Example:

    ```python
    import numpy as np
    import keras_compress as kc

    assert kc.pruning.gini_index(np.array([5.0, 0.0, 0.0, 0.0])) == 0.75
    ```

    Reference:
        Hurley and Rickard, "Comparing Measures of Sparsity", arXiv 0811.4706; compared with the PQ
        index by Diao et al., arXiv 2302.05601.

    Deviations:
        The official code of the latter adds `1e-7` to every magnitude.
    """
    sizes, kept = magnitudes(weights, mask)
    check_axis(axis, sizes.ndim)
    if axis is None:
        sizes, kept, axis = sizes.reshape(-1), kept.reshape(-1), 0
    sizes, kept = np.moveaxis(sizes, axis, -1), np.moveaxis(kept, axis, -1)
    # Masked entries are zero and come first; their places do not count.
    ordered = np.sort(sizes, axis=-1)
    total = np.maximum(ordered.sum(axis=-1), np.finfo("float64").tiny)
    number = np.maximum(kept.sum(axis=-1), 1)
    place = np.arange(sizes.shape[-1], 0, -1) - 0.5
    area = (ordered * place).sum(axis=-1) / (total * number)
    index = np.where(ordered.any(axis=-1), 1.0 - 2.0 * area, 0.0)
    return float(index) if np.ndim(index) == 0 else index
