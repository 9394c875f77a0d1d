"""Predicted quantiles put in order."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.scans import cumulative_max, reverse_cumulative_min
from keras_reweight.core.validation import check_choice

METHODS = ("sort", "isotonic", "median_out", "cummax", "average")


def monotone_quantiles(values: Any, *, method: str = "sort"):
    """Predicted quantiles made to increase with their level.

    Use it after prediction, or as the last step of a network: gradients pass through and it works
    in a compiled step. Sorting and isotonic regression never increase the pinball loss or the
    weighted interval score, so there is no reason not to. Values in order come back unchanged.

    - `"sort"`: sorted values.
    - `"isotonic"`: nearest increasing values in least squares; neighbors that cross are replaced by
      their mean, which is `max_{i<=k} min_{j>=k} mean(q_i..q_j)`.
    - `"median_out"`: the value in the middle stays, running maximum above, running minimum below.
    - `"cummax"`: running maximum from the lowest level.
    - `"average"`: mean of the running maximum from below and the running minimum from above.

    Args:
        values: Float tensor of shape `(..., quantiles)`, predicted values by increasing level.
        method: String, one of the above. Defaults to `"sort"`.

    Returns:
        Float tensor of the shape of `values`, increasing along the last axis.

    Raises:
        ValueError: If `method` is unknown or `values` has no static last axis.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    crossing = np.array([[1.0, 0.8, 1.5, 1.4, 2.0]], "float32")
    ordered = kr.functional.monotone_quantiles(crossing, method="isotonic")
    ```

    Reference:
        Fakoor, Kim, Mueller, Smola and Tibshirani, "Flexible Model Aggregation for Quantile
        Regression", JMLR 2023, arXiv 2103.00083 (sorting and isotonic projection never hurt).

    Deviations:
        The official code trains through a soft sort and treats the blocks of the isotonic fit as
        constants found on the host; here the sort is the exact one, and the min-max formula has the
        same block averages as gradient inside a compiled step.

    Cost:
        `"isotonic"` needs `quantiles ** 2` numbers a sample, the others a few copies.
    """
    check_choice("method", method, METHODS)
    values = ops.convert_to_tensor(values)
    if not keras.backend.is_float_dtype(values.dtype):
        values = ops.cast(values, "float32")
    if not len(values.shape) or values.shape[-1] is None:
        raise ValueError(f"`values` must have a static last axis, got shape {values.shape}.")
    if method == "sort":
        return ops.sort(values, axis=-1)
    if method == "isotonic":
        return _isotonic(values)
    if method == "cummax":
        return cumulative_max(values)
    if method == "average":
        return (cumulative_max(values) + reverse_cumulative_min(values)) / 2
    middle = values.shape[-1] // 2
    below = reverse_cumulative_min(values[..., : middle + 1])
    above = cumulative_max(values[..., middle:])
    return ops.concatenate([below, above[..., 1:]], axis=-1)


def _isotonic(values):
    size = values.shape[-1]
    # Differences of running sums lose digits where the values are far from zero.
    center = ops.stop_gradient(ops.mean(values, axis=-1, keepdims=True))
    sums = ops.cumsum(values - center, axis=-1)
    before = ops.concatenate([ops.zeros_like(sums[..., :1]), sums[..., :-1]], axis=-1)
    first, last = np.arange(size)[:, None], np.arange(size)[None, :]
    inside = ops.convert_to_tensor(last >= first)
    lengths = ops.convert_to_tensor(np.maximum(last - first + 1, 1), dtype=values.dtype)
    means = (ops.expand_dims(sums, -2) - ops.expand_dims(before, -1)) / lengths
    smallest = reverse_cumulative_min(ops.where(inside, means, ops.full_like(means, np.inf)))
    largest = ops.max(ops.where(inside, smallest, ops.full_like(means, -np.inf)), axis=-2)
    return largest + center
