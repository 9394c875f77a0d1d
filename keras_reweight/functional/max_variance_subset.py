"""The subset of a group that differs most."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_integer


def max_variance_subset(values: Any, num_kept: int):
    """Indices of the `num_kept` values with the largest variance.

    Use it to train on a few of many rollouts (values: their advantages or rewards), where those
    that are alike add little; or to choose samples of a batch by their losses.

    The best subset always consists of the `k` lowest and the `num_kept - k` highest values for some
    `k`, so sorting and trying every `k` is exact.

    Args:
        values: Float tensor of shape `(n,)`, or `(groups, n)` for groups that are treated one by
            one; finite.
        num_kept: Integer, size of the subset, 1 to `n`.

    Returns:
        Int32 tensor of shape `(num_kept,)` or `(groups, num_kept)`, indices in ascending order. Of
        equal values the first are kept among the lowest, the last among the highest; of equally
        good subsets, the one with fewer low values.

    Raises:
        TypeError: If `num_kept` is not an integer.
        ValueError: If `num_kept` is not in 1 to `n`, or `values` has another rank.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rewards = np.array([0.0, 1.0, 1.0, 0.0, 0.5, 0.2, 0.9, 0.1], "float32")
    indices = kr.functional.max_variance_subset(rewards, 4)
    ```

    Reference:
        Xu et al., "Not All Rollouts are Useful: Down-Sampling Rollouts in LLM Reinforcement
        Learning", arXiv 2504.13818, theorem on maximal variance; the sample level of Wang et
        al., "Learning More with Less: A Dynamic Dual-Level Down-Sampling Framework for Efficient
        Policy Optimization", ICLR 2026, arXiv 2509.22115.

    Cost:
        One sort.
    """
    check_integer("num_kept", num_kept, minimum=1)
    values = ops.stop_gradient(ops.cast(ops.convert_to_tensor(values), "float32"))
    if len(values.shape) not in (1, 2) or values.shape[-1] is None:
        raise ValueError(
            f"`values` must be of shape (n,) or (groups, n), got shape {tuple(values.shape)}."
        )
    size = values.shape[-1]
    if num_kept > size:
        raise ValueError(f"`num_kept` must be at most n={size}, got {num_kept!r}.")
    order = ops.cast(ops.argsort(values, axis=-1), "int32")
    # Centered and scaled, so that differences of sums of squares keep their digits.
    centered = values - ops.mean(values, axis=-1, keepdims=True)
    largest = ops.max(ops.abs(centered), axis=-1, keepdims=True)
    centered = centered / ops.where(largest > 0, largest, ops.ones_like(largest))
    ascending = ops.take_along_axis(centered, order, axis=-1)
    variances = _variances_of_splits(ascending, num_kept)
    best = ops.max(variances, axis=-1, keepdims=True)
    # The first of those that only rounding tells apart.
    as_good = ops.cast(variances >= best - 1e-5 * ops.abs(best), "int32")
    num_low = ops.cast(ops.argmax(as_good, axis=-1), "int32")
    position = ops.arange(num_kept, dtype="int32")
    is_low = position < ops.expand_dims(num_low, axis=-1)
    position = ops.where(is_low, position, size - num_kept + position)
    return ops.sort(ops.take_along_axis(order, position, axis=-1), axis=-1)


def _variances_of_splits(ascending, num_kept):
    """Variance of the `k` lowest and `num_kept - k` highest values, for k = 0 to `num_kept`."""
    means = []
    for power in (ascending, ops.square(ascending)):
        low, high = power[..., :num_kept], power[..., ascending.shape[-1] - num_kept :]
        zero = ops.zeros_like(low[..., :1])
        low = ops.concatenate([zero, ops.cumsum(low, axis=-1)], axis=-1)
        high = ops.flip(ops.cumsum(ops.flip(high, axis=-1), axis=-1), axis=-1)
        high = ops.concatenate([high, zero], axis=-1)
        means.append((low + high) / num_kept)
    return means[1] - ops.square(means[0])
