"""Rounding on TensorFlow: the same functions as in the files of the other backends."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.python.eager import forwardprop_util


def with_slope(value, x, slope):
    """`value` with the derivative `slope` with respect to `x`; `None` for one."""
    if slope is None:
        return _attach(value, (x,), lambda x: x, lambda upstream: upstream)
    slope = tf.stop_gradient(tf.cast(slope, x.dtype))
    return _attach(value, (x,), lambda x: x * slope, lambda upstream: upstream * slope)


def nearest(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one."""
    fixed, scale = tf.stop_gradient(x), tf.stop_gradient(scale)
    codes = tf.round(_limited(_position(fixed, scale, zero_point), low, high))
    return with_slope(_values(codes, scale, zero_point), x, None)


def nearest_inside(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one where a level is near and zero elsewhere."""
    scale = tf.stop_gradient(scale)
    position = tf.round(tf.stop_gradient(x) / scale)
    if not _is_zero(zero_point):
        position += _constant(zero_point, x.dtype)

    def selected(tensor):
        inside = tf.logical_and(position >= float(low), position <= float(high))
        return tf.where(inside, tensor, tf.zeros((), tensor.dtype))

    value = _values(_limited(position, low, high), scale, zero_point)
    return _attach(value, (x,), selected, selected)


def learned_step(x, scale, zero_point, offset, low, high):
    """The nearest level to `x`, with derivatives with respect to `scale` and `offset`, too."""
    fixed = tf.stop_gradient(scale)
    position = _position(tf.stop_gradient(x), fixed, zero_point)
    codes = tf.round(_limited(position, low, high))

    def selected(tensor):
        inside = tf.logical_and(position > float(low), position < float(high))
        return tf.where(inside, tensor, tf.zeros((), tensor.dtype))

    def tangent(x, scale, offset=None):
        found = selected(x) + (codes - selected(position)) * scale
        if offset is None:
            return found
        whole = tf.broadcast_to(offset, tf.shape(x))
        return found + whole - selected(whole)

    def gradient(upstream):
        of_x = selected(upstream)
        slope = tf.stop_gradient(codes - selected(position))
        found = [of_x, _sum(upstream * slope, scale)]
        return found if offset is None else [*found, _sum(upstream - of_x, offset)]

    operands = (x, scale) if offset is None else (x, scale, offset)
    return _attach(_values(codes, fixed, zero_point), operands, tangent, gradient)


def _attach(value, operands, tangent, gradient):
    """`value` with the derivatives of the linear `tangent(*operands)`, whose transpose is given."""
    value = tf.stop_gradient(value)
    operands = [tf.convert_to_tensor(operand) for operand in operands]
    if forwardprop_util.pack_tangents(operands).tangents:
        # Forward accumulators do not see custom gradients.
        linear = tangent(*operands)
        return value + (linear - tf.stop_gradient(linear))

    @tf.custom_gradient
    def attached(*_):
        return tf.identity(value), gradient

    return attached(*operands)


def _constant(number, kind):
    return tf.stop_gradient(tf.cast(number, kind))


def _is_zero(zero_point):
    return isinstance(zero_point, (int, float)) and zero_point == 0


def _limited(x, low, high):
    kind = x.dtype
    return tf.minimum(tf.maximum(x, tf.cast(low, kind)), tf.cast(high, kind))


def _position(x, scale, zero_point):
    ratio = x / scale
    return ratio if _is_zero(zero_point) else ratio + _constant(zero_point, x.dtype)


def _values(codes, scale, zero_point):
    if not _is_zero(zero_point):
        return (codes - _constant(zero_point, codes.dtype)) * scale
    # Adding makes plus zero of minus zero, as integer codes have none. A constant zero would be
    # optimized away; scales are positive.
    return (codes + tf.maximum(-scale, tf.zeros((), scale.dtype))) * scale


def _sum(tensor, repeated):
    """The sum over the axes along which `repeated` was."""
    if not repeated.shape.rank:
        return tf.reduce_sum(tensor)
    axes = [axis for axis, size in enumerate(repeated.shape) if size != tensor.shape[axis]]
    return tf.reduce_sum(tensor, axes, keepdims=True) if axes else tensor
