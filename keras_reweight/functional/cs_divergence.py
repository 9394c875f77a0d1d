"""Conditional Cauchy-Schwarz divergence."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from keras_reweight.core.validation import check_choice
from keras_reweight.functional._gaussian_kernels import (
    check_sigma,
    gaussian_kernel,
    row_shares,
    rows_of,
    width,
)

_SMALLEST = 1e-12
DENOMINATORS = ("paper", "code")


def cs_divergence(
    x: Any,
    y_true: Any,
    y_pred: Any,
    *,
    sigma: float | str = 1.0,
    denominators: str = "paper",
    sample_weight: Any = None,
):
    """How far the predictions given the inputs are from the targets given the inputs.

    Use it as a regression loss that outliers hardly move: a residual of many `sigma` has no pull.
    With Gaussian kernel matrices `K` of `x` and `L` between two sets of targets and
    `A(L) = sum_i sum_j K_ij L_ij / d_i`, the divergence is
    `log2 A(y_true, y_true) + log2 A(y_pred, y_pred) - 2 log2 A(y_pred, y_true)`.

    Args:
        x: Float tensor of shape `(batch, ...)`; all axes but the first are flattened.
        y_true: Float tensor of shape `(batch, ...)`, the targets, likewise.
        y_pred: Float tensor of the shape of `y_true`, the predictions.
        sigma: Float > 0, width of the kernels, or `"median"`, the median distance between two
            samples, of `x` for `K` and of `y_true` for `L`. Defaults to `1.0`.
        denominators: `"paper"` for `d_i = (sum_j K_ij)^2` or `"code"` for `sum_j K_ij^2`. Defaults
            to `"paper"`.
        sample_weight: Float tensor of shape `(batch,)`, weights >= 0 of the samples in every sum,
            or `None`. Defaults to `None`.

    Returns:
        Float32 scalar.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an option is unknown or a shape does not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    y = x.sum(axis=1)
    divergence = kr.functional.cs_divergence(x, y, y + 0.1)
    ```

    Reference:
        Yu et al., "Cauchy-Schwarz Divergence Information Bottleneck for Regression", ICLR 2024,
        arXiv 2404.17951.

    Deviations:
        The authors' script passes targets of shape `(batch,)`, for which its kernel sums over the
        batch and the divergence becomes the sum of squared errors; here they are `(batch, 1)`.

    Cost:
        Memory `batch^2 (features of x + 3 features of y)`.
    """
    check_sigma(sigma)
    check_choice("denominators", denominators, DENOMINATORS)
    x = rows_of("x", x)
    y_true, y_pred = rows_of("y_true", y_true), rows_of("y_pred", y_pred)
    if y_true.shape[-1] != y_pred.shape[-1]:
        raise ValueError(
            f"`y_pred` of shape {tuple(y_pred.shape)} must have the values a sample of `y_true` "
            f"of shape {tuple(y_true.shape)}."
        )
    shares = row_shares(sample_weight, x)
    kernel = gaussian_kernel(x, x, width(sigma, x, shares))
    if denominators == "paper":
        divisor = ops.square(ops.sum(kernel * shares[None, :], axis=1))
    else:
        divisor = ops.sum(ops.square(kernel) * shares[None, :], axis=1)
    # A sample of weight zero may have no neighbors at all.
    divisor = ops.where(shares > 0.0, divisor, 1.0)
    sigma = width(sigma, y_true, shares)

    def total(values):
        return ops.sum(shares * ops.sum(kernel * values * shares[None, :], axis=1) / divisor)

    between = gaussian_kernel(y_pred, y_true, sigma)
    divisor_of_ratio = total(between) + _SMALLEST
    value = 0.0
    for rows in (y_true, y_pred):
        # Differences first: near zero the logarithms themselves would cancel.
        excess = total(gaussian_kernel(rows, rows, sigma) - between)
        value = value + ops.log1p(excess / divisor_of_ratio)
    return value / math.log(2.0)
