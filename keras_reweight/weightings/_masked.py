"""Operations of weightings over the entries of a batch that count."""

from __future__ import annotations

from typing import Any

from keras import ops

NORMALIZATIONS = (None, "mean_one", "sum_one")


def num_valid(valid: Any, dtype: Any):
    """How many entries count."""
    return ops.sum(ops.cast(valid, dtype))


def masked_range(losses: Any, valid: Any):
    """Smallest and largest of the entries that count; zeros if there are none."""
    infinity = ops.full_like(losses, float("inf"))
    any_valid = ops.any(valid)
    low = ops.where(any_valid, ops.min(ops.where(valid, losses, infinity)), 0.0)
    high = ops.where(any_valid, ops.max(ops.where(valid, losses, -infinity)), 0.0)
    return low, high


def masked_softmax(score: Any, valid: Any, temperature: Any):
    """`exp(score / temperature)` over the entries that count, summing to one."""
    _, top = masked_range(score, valid)
    shifted = (ops.where(valid, score, top) - top) / temperature
    unnormalized = ops.where(valid, ops.exp(shifted), ops.zeros_like(score))
    total = ops.sum(unnormalized)
    # Not `ops.maximum`, which gives float32 for float64 and a plain number on torch.
    return unnormalized / ops.where(total > 0.0, total, ops.ones_like(total))


def uniform_weights(valid: Any, normalization: str | None, dtype: Any):
    """Equal weights in a normalization: `1 / n` where they sum to one, else 1."""
    ones = ops.cast(valid, dtype)
    if normalization != "sum_one":
        return ones
    total = ops.sum(ones)
    return ones / ops.where(total > 0.0, total, ops.ones_like(total))


def normalized(weights: Any, valid: Any, normalization: str | None):
    """Non-negative weights brought into a normalization; uniform ones where all are zero."""
    # Weights of tokens where losses are of samples: the base class says what to do.
    if normalization is None or len(weights.shape) != len(valid.shape):
        return weights
    uniform = uniform_weights(valid, normalization, weights.dtype)
    weights = ops.where(valid, weights, ops.zeros_like(weights))
    # Divided by the largest first: a sum of huge weights would overflow, one of tiny ones vanish.
    top = ops.max(weights)
    weights = weights / ops.where(top > 0, top, ops.ones_like(top))
    total = ops.sum(weights)
    scaled = weights * ops.sum(uniform) / ops.where(total > 0, total, ops.ones_like(total))
    return ops.where(total > 0, scaled, uniform)
