"""Gaussian kernels between the samples of a batch."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.validation import check_number

# Smallest width that the median may give: of equal samples it is zero.
_SMALLEST_SIGMA = 1e-2


def check_sigma(sigma: Any) -> None:
    """Raise unless `sigma` is a positive number or `"median"`."""
    if isinstance(sigma, str):
        if sigma != "median":
            raise ValueError(f'`sigma` must be a number or "median", got {sigma!r}.')
    else:
        check_number("sigma", sigma, exclusive_minimum=0.0)


def rows_of(name: str, value: Any):
    """Float32 tensor of shape `(batch, features)`."""
    value = ops.convert_to_tensor(value)
    if len(value.shape) == 0:
        raise ValueError(f"`{name}` must have shape (batch, ...), got a scalar.")
    features = 1
    for size in value.shape[1:]:
        if size is None:
            raise ValueError(
                f"`{name}` must have static axes but the first, got {tuple(value.shape)}."
            )
        features *= size
    return ops.cast(ops.reshape(value, (-1, features)), "float32")


def row_shares(sample_weight: Any, rows: Any):
    """Weights of shape `(batch,)` that add up to 1; without weights equal ones."""
    weights = ops.ones_like(rows[:, 0])
    if sample_weight is not None:
        given = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
        if len(given.shape) != 1:
            raise ValueError(f"`sample_weight` must have shape (batch,), got {given.shape}.")
        weights = weights * given
    total = ops.sum(weights)
    return weights / ops.where(total > 0.0, total, 1.0)


def gaussian_kernel(first: Any, second: Any, sigma: Any):
    """`exp(-|a - b|^2 / (2 sigma^2))` of all pairs, shape `(rows of first, rows of second)`."""
    return ops.exp(-_squared_distances(first, second) / (2.0 * sigma**2))


def width(sigma: Any, rows: Any, shares: Any):
    """`sigma`, or the median distance of two different samples whose share is positive."""
    if not isinstance(sigma, str):
        return sigma
    distances = _squared_distances(rows, rows)
    there = ops.cast(shares > 0.0, "int32")
    index = ops.cumsum(ops.ones_like(there))
    pairs = there[:, None] * there[None, :] * ops.cast(index[:, None] < index[None, :], "int32")
    ordered = ops.sort(ops.reshape(ops.where(pairs > 0, distances, float("inf")), (-1,)))
    count = ops.sum(pairs)
    middle = ops.take(ordered, ops.maximum(count - 1, 0) // 2, axis=0)
    median = ops.sqrt(ops.where(count > 0, middle, 1.0))
    return ops.stop_gradient(ops.maximum(median, _SMALLEST_SIGMA))


def _squared_distances(first, second):
    # The difference itself: `a^2 - 2 a b + b^2` cancels where samples are close.
    return ops.sum(ops.square(first[:, None, :] - second[None, :, :]), axis=-1)
