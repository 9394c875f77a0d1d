"""Gradients chosen by hand with `stop_gradient`, the same on every backend."""

from __future__ import annotations

import numpy as np
from keras import ops


def straight_through(value, x):
    """`value`, with the gradient of `x`.

    `x - stop_gradient(x)` is exactly zero, so the result is `value` to the last bit. The usual
    `x + stop_gradient(value - x)` rounds where `value` and `x` differ in magnitude.
    """
    return ops.stop_gradient(value) + (x - ops.stop_gradient(x))


def scale_gradient(x, factor):
    """`x` to the last bit, with its gradient multiplied by `factor`, a number or an array."""
    if isinstance(factor, np.ndarray):
        factor = ops.convert_to_tensor(factor, dtype=x.dtype)
    return straight_through(x, x * factor)
