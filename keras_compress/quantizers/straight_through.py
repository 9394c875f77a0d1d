"""Values with gradients chosen by hand, the same on every backend."""

from __future__ import annotations

from keras import ops

from keras_reweight.core.rounding.backend import rounding


def straight_through(value, x):
    """`value` to the last bit, with the gradient of `x`."""
    return with_slope(value, x, None)


def with_slope(value, x, slope):
    """`value` to the last bit, with the derivative `slope` with respect to `x`; `None` for one.

    `slope` is a number, an array or a tensor of the shape of `x`, taken for a constant. What is no
    number in `x` is none in the result, and there is no minus zero.
    """
    fixed = ops.stop_gradient(x)
    # Exactly zero for numbers.
    return rounding().with_slope(ops.stop_gradient(value) + (fixed - fixed), x, slope)


def scale_gradient(x, factor):
    """`x` to the last bit, with its gradient multiplied by `factor`, a number or an array."""
    return rounding().with_slope(x, x, factor)
