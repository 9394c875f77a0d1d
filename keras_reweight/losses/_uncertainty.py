"""Weights of loss terms that are learned from the terms themselves."""

from __future__ import annotations

import math

from keras import ops

# Largest change of a log-variance in one step: the slope of a huge loss would overshoot.
_LARGEST_STEP = 1.0


def term_weight(log_variance):
    """`1 / (2 s^2)`, the weight of a loss whose log-variance is `log s^2`."""
    return 0.5 * ops.exp(-log_variance)


def descend(log_variance, loss, learning_rate: float):
    """One gradient step of `loss / (2 s^2) + log(1 + s^2)` with respect to `log s^2`."""
    # A negative or broken loss would drive the variance to zero and the weight to infinity.
    loss = ops.where(ops.isfinite(loss), ops.maximum(loss, 0.0), ops.zeros_like(loss))
    slope = ops.sigmoid(log_variance) - term_weight(log_variance) * loss
    step = ops.clip(learning_rate * slope, -_LARGEST_STEP, _LARGEST_STEP)
    # The bounds are far outside of what losses of any scale lead to.
    return ops.clip(log_variance - step, -16.0, 64.0)


def initial_log_variance(variance: float) -> float:
    """`log s^2` of the start."""
    return math.log(variance)
