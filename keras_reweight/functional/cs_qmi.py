"""Cauchy-Schwarz mutual information."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_boolean
from keras_reweight.functional._gaussian_kernels import (
    check_sigma,
    gaussian_kernel,
    row_shares,
    rows_of,
    width,
)

_SMALLEST = 1e-12


def cs_qmi(
    x: Any,
    t: Any,
    *,
    sigma: float | str = 1.0,
    normalized: bool = False,
    sample_weight: Any = None,
):
    """How much two variables depend on each other, by Gaussian kernels between samples.

    Use it as a penalty on what a representation `t` keeps of the inputs `x`, or to measure
    dependence. With kernel matrices `K` of `x` and `L` of `t` it is

    `log2 mean_ij K_ij L_ij + log2 (mean K mean L) - 2 log2 mean_i (mean_j K_ij)(mean_j L_ij)`,

    zero for independent variables. Scale `x` and `t` to unit size, or use `sigma="median"`.

    Args:
        x: Float tensor of shape `(batch, ...)`; all axes but the first are flattened.
        t: Float tensor of shape `(batch, ...)`, likewise.
        sigma: Float > 0, width of the kernels, or `"median"`, the median distance between two
            samples of each variable, without gradient. Defaults to `1.0`.
        normalized: Boolean, whether to divide by the geometric mean of the values of `(x, x)` and
            `(t, t)`. Defaults to `False`.
        sample_weight: Float tensor of shape `(batch,)`, weights >= 0 of the samples in every mean,
            or `None`. Defaults to `None`.

    Returns:
        Float32 scalar, >= 0 up to rounding.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an option is unknown or a shape does not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    x = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
    dependence = kr.functional.cs_qmi(x, x[:, :1], sigma="median")
    ```

    Reference:
        Yu et al., "Cauchy-Schwarz Divergence Information Bottleneck for Regression", ICLR 2024,
        arXiv 2404.17951.

    Cost:
        Memory `batch^2 (features of x + features of t)`.
    """
    check_sigma(sigma)
    check_boolean("normalized", normalized)
    x, t = rows_of("x", x), rows_of("t", t)
    shares = row_shares(sample_weight, x)
    kernel_x = gaussian_kernel(x, x, width(sigma, x, shares))
    kernel_t = gaussian_kernel(t, t, width(sigma, t, shares))
    value = _information(kernel_x, kernel_t, shares)
    if not normalized:
        return value
    own = _information(kernel_x, kernel_x, shares) * _information(kernel_t, kernel_t, shares)
    return value / ops.sqrt(ops.maximum(own, _SMALLEST))


def _information(first, second, shares):
    mean_first = ops.sum(first * shares[None, :], axis=1)
    mean_second = ops.sum(second * shares[None, :], axis=1)
    joint = ops.sum(shares * ops.sum(first * second * shares[None, :], axis=1))
    marginal = ops.sum(shares * mean_first) * ops.sum(shares * mean_second)
    cross = ops.sum(shares * mean_first * mean_second)
    return _log2(joint) + _log2(marginal) - 2.0 * _log2(cross)


def _log2(value):
    return ops.log2(value + _SMALLEST)
