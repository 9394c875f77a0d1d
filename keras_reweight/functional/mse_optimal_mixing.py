"""The best mixture of two estimators."""

from __future__ import annotations

from typing import Any

from keras import ops


def mse_optimal_mixing(first: Any, second: Any, target: Any = None):
    """Share of the first of two estimators in the mixture with the least squared error.

    Use it to mix a noisy gradient with a biased one of low variance, from repeated estimates of
    both: `mixture = alpha * first + (1 - alpha) * second`, or, for two losses,
    `alpha * loss_first + (1 - alpha) * loss_second`.

    With the errors `a = first - target` and `b = second - target` the mean squared error of the
    mixture is least at `alpha = E<b, b - a> / E||a - b||^2`, clipped to [0, 1].

    Args:
        first: Float tensor of shape `(num_estimates, ...)`, repeated estimates; unbiased, unless
            `target` is given.
        second: Float tensor of the shape of `first`, estimates made together with those.
        target: Float tensor of the shape of one estimate, what both estimate, or `None` to take the
            mean of `first`. Defaults to `None`.

    Returns:
        Float32 tensor of shape `()` in [0, 1]; 0.5 if the two are equal.

    Raises:
        ValueError: If the shapes of `first` and `second` differ.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    rng = np.random.default_rng(0)
    noisy = rng.normal(1.0, 2.0, size=(20, 3))
    biased = rng.normal(1.5, 0.1, size=(20, 3))
    alpha = kr.functional.mse_optimal_mixing(noisy, biased)
    ```

    Reference:
        Zhu et al., "From Noisy Traces to Stable Gradients: Bias-Variance Optimized Preference
        Optimization for Aligning Large Reasoning Models" (BVPO), arXiv 2510.05095; the
        estimator from samples is derived from its criterion.

    Deviations:
        Each estimate is part of the mean that stands for a missing `target`, so the share of
        `first` then comes out too high by at most `1 / num_estimates`.
    """
    first, second = (
        ops.stop_gradient(ops.cast(ops.convert_to_tensor(value), "float32"))
        for value in (first, second)
    )
    if len(first.shape) < 1 or tuple(first.shape) != tuple(second.shape):
        raise ValueError(
            f"`first` and `second` must have one shape (num_estimates, ...), got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    if target is None:
        target = ops.mean(first, axis=0)
    error = second - ops.stop_gradient(ops.cast(ops.convert_to_tensor(target), "float32"))
    difference = second - first
    distance = ops.sum(ops.square(difference))
    share = ops.sum(error * difference) / ops.where(distance > 0, distance, 1.0)
    return ops.where(distance > 0, ops.clip(share, 0.0, 1.0), 0.5)
