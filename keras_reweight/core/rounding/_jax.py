"""Rounding on JAX: the same functions as in the files of the other backends.

Forward rules, which JAX transposes for reverse mode. A rule calls its own function for the value,
so that the derivative of that is the same one in nested transformations.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp


def with_slope(value, x, slope):
    """`value` with the derivative `slope` with respect to `x`; `None` for one."""
    value = jax.lax.stop_gradient(value)
    if slope is None:
        return _straight_through(value, x)
    return _with_slope(value, x, jax.lax.stop_gradient(jnp.asarray(slope, x.dtype)))


def nearest(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one."""
    fixed, scale, zero_point = _constants(x, scale, zero_point)
    codes = jnp.round(jnp.clip(_position(fixed, scale, zero_point), low, high))
    return _straight_through(_values(codes, scale, zero_point, fixed), x)


def nearest_inside(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one where a level is near and zero elsewhere."""
    return _nearest_inside(x, *_constants(scale, zero_point), low, high)


def learned_step(x, scale, zero_point, offset, low, high):
    """The nearest level to `x`, with derivatives with respect to `scale` and `offset`, too."""
    return _learned_step(x, scale, *_constants(zero_point), offset, low, high)


def _constants(*values):
    """The values without a gradient; `None` for a zero that is known before anything is traced."""
    known = [None if isinstance(one, (int, float)) and one == 0 else one for one in values]
    return jax.lax.stop_gradient(known)


@jax.custom_jvp
def _straight_through(value, x):
    return value


@_straight_through.defjvp
def _(primals, tangents):
    return _straight_through(*primals), tangents[1]


@jax.custom_jvp
def _with_slope(value, x, slope):
    return value


@_with_slope.defjvp
def _(primals, tangents):
    return _with_slope(*primals), tangents[1] * primals[2]


@functools.partial(jax.custom_jvp, nondiff_argnums=(3, 4))
def _nearest_inside(x, scale, zero_point, low, high):
    position = _whole_position(x, scale, zero_point)
    return _values(jnp.clip(position, low, high), scale, zero_point, x)


@_nearest_inside.defjvp
def _(low, high, primals, tangents):
    x, scale, zero_point = jax.lax.stop_gradient(primals)
    position = _whole_position(x, scale, zero_point)
    inside = (position >= low) & (position <= high)
    return _nearest_inside(*primals, low, high), jnp.where(inside, tangents[0], 0.0)


@functools.partial(jax.custom_jvp, nondiff_argnums=(4, 5))
def _learned_step(x, scale, zero_point, offset, low, high):
    codes = jnp.round(jnp.clip(_position(x, scale, zero_point), low, high))
    return _values(codes, scale, zero_point, x)


@_learned_step.defjvp
def _(low, high, primals, tangents):
    x, scale, zero_point, offset = jax.lax.stop_gradient(primals)
    position = _position(x, scale, zero_point)
    codes = jnp.round(jnp.clip(position, low, high))
    inside = (position > low) & (position < high)
    slope = codes - jnp.where(inside, position, 0.0)
    tangent = jnp.where(inside, tangents[0], 0.0) + slope * _repeated(tangents[1], x.shape)
    if offset is not None:
        tangent = tangent + jnp.where(inside, 0.0, _repeated(tangents[3], x.shape))
    return _learned_step(*primals, low, high), tangent


def _repeated(tensor, shape):
    """`tensor` of few values in `shape`.

    As a product with ones, where the axes allow: in reverse mode it becomes a product as well,
    which on CPUs takes a third of the time of a sum that is fused with what comes before.
    """
    small = (1,) * (len(shape) - tensor.ndim) + tensor.shape
    kept = [axis for axis, size in enumerate(small) if size != 1]
    first = kept[0] if kept else len(shape) - 1
    if first <= 0 or small[first:] != shape[first:] and kept:
        return jnp.broadcast_to(tensor, shape)
    columns = math.prod(shape[first:])
    row = jnp.broadcast_to(jnp.reshape(tensor, (1, -1)), (1, columns))
    ones = jnp.ones((math.prod(shape[:first]), 1), tensor.dtype)
    return jnp.reshape(jnp.matmul(ones, row, precision=jax.lax.Precision.HIGHEST), shape)


def _position(x, scale, zero_point):
    ratio = x / scale
    return ratio if zero_point is None else ratio + zero_point


def _whole_position(x, scale, zero_point):
    ratio = jnp.round(x / scale)
    return ratio if zero_point is None else ratio + zero_point


def _values(codes, scale, zero_point, x):
    if zero_point is not None:
        return (codes - zero_point) * scale
    # Adding makes plus zero of minus zero, as integer codes have none. A constant zero would be
    # optimized away.
    return codes * scale + (x - x)
