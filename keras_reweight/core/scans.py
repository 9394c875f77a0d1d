"""Running maxima, minima and log-sums along the last axis, which `keras.ops` does not have.

Doubling loops over static slices: `associative_scan` fails on TensorFlow where the batch size is
unknown.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Stands for "nothing there" in a log-sum; minus infinity would give NaN gradients.
_NOTHING = -1e30


def cumulative_max(x: Any):
    """Running maximum from the left over the last axis, whose size must be static."""
    step, size = 1, x.shape[-1]
    while step < size:
        x = ops.concatenate([x[..., :step], ops.maximum(x[..., step:], x[..., :-step])], axis=-1)
        step *= 2
    return x


def reverse_cumulative_min(x: Any):
    """Running minimum from the right over the last axis, whose size must be static."""
    step, size = 1, x.shape[-1]
    while step < size:
        x = ops.concatenate([ops.minimum(x[..., :-step], x[..., step:]), x[..., -step:]], axis=-1)
        step *= 2
    return x


def suffix_logsumexp(x: Any):
    """`result[..., k] = logsumexp(x[..., k:])`; a reverse `cumsum(exp(x))` would underflow."""
    step, size = 1, x.shape[-1]
    while step < size:
        nothing = ops.full_like(x[..., :step], _NOTHING)
        shifted = ops.concatenate([x[..., step:], nothing], axis=-1)
        # `where` takes one of two equal numbers; the slopes of `maximum` and `abs` at a tie would
        # not add up to the softmax.
        larger = ops.where(x >= shifted, x, shifted)
        smaller = ops.where(x >= shifted, shifted, x)
        x = larger + ops.log1p(ops.exp(smaller - larger))
        step *= 2
    return x
