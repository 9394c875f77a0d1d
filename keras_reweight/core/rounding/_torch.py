"""Rounding on torch: the same functions as in the files of the other backends.

A selection takes thirty times as long as a product on the CPU, and a fresh tensor of the size of
a kernel costs more than the arithmetic; hence the operations that select and those in place.
"""

from __future__ import annotations

import torch
from torch.autograd import Function


def with_slope(value, x, slope):
    """`value` with the derivative `slope` with respect to `x`; `None` for one."""
    if slope is None:
        return _StraightThrough.apply(value.detach(), x)
    slope = torch.as_tensor(slope, dtype=x.dtype, device=x.device).detach()
    return _WithSlope.apply(value.detach(), x, slope)


def nearest(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one."""
    fixed, scale = x.detach(), scale.detach()
    codes = _position(fixed, scale, zero_point).clamp(low, high).round_()
    return _StraightThrough.apply(_values(codes, scale, zero_point), x)


def nearest_inside(x, scale, zero_point, low, high):
    """The nearest level to `x`, with derivative one where a level is near and zero elsewhere."""
    return _NearestInside.apply(x, scale.detach(), zero_point, low, high)[0]


def learned_step(x, scale, zero_point, offset, low, high):
    """The nearest level to `x`, with derivatives with respect to `scale` and `offset`, too."""
    return _LearnedStep.apply(x, scale, zero_point, offset, low, high)[0]


class _StraightThrough(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value, x):
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient

    @staticmethod
    def jvp(ctx, value, x):
        return x.view_as(x)


class _WithSlope(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value, x, slope):
        return value.view_as(value)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[2])
        ctx.save_for_forward(inputs[2])

    @staticmethod
    def backward(ctx, gradient):
        return None, gradient * ctx.saved_tensors[0], None

    @staticmethod
    def jvp(ctx, value, x, slope):
        return x * ctx.saved_tensors[0]


class _NearestInside(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, scale, zero_point, low, high):
        position = (x / scale).round_()
        if not _is_zero(zero_point):
            position = position + zero_point
        return _values(position.clamp(low, high), scale, zero_point), position

    @staticmethod
    def setup_context(ctx, inputs, output):
        position = output[1]
        # Whole numbers: half a step beyond the ends, no value lies on the bounds.
        ctx.bounds = inputs[3] - 0.5, inputs[4] + 0.5
        ctx.save_for_backward(position)
        ctx.save_for_forward(position)
        ctx.mark_non_differentiable(position)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, gradient, _):
        if gradient is None:
            return (None,) * 5
        return _inside(gradient, ctx.saved_tensors[0], ctx.bounds), None, None, None, None

    @staticmethod
    def jvp(ctx, x, *_):
        return _inside(x, ctx.saved_tensors[0], ctx.bounds), None


class _LearnedStep(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, scale, zero_point, offset, low, high):
        position = _position(x, scale, zero_point)
        codes = position.clamp(low, high).round_()
        return _values(codes, scale, zero_point), position, codes

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, scale, _, offset, low, high = inputs
        ctx.bounds = low, high
        ctx.scale_shape = scale.shape
        ctx.offset_shape = None if offset is None else offset.shape
        ctx.save_for_backward(*output[1:])
        ctx.save_for_forward(*output[1:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx, gradient, *_):
        if gradient is None:
            return (None,) * 6
        position, codes = ctx.saved_tensors
        of_x = of_scale = of_offset = None
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[3]:
            of_x = _inside(gradient, position, ctx.bounds)
        if ctx.needs_input_grad[1]:
            slope = _slope(position, codes, ctx.bounds)
            of_scale = _product_sum(gradient, slope, ctx.scale_shape)
        if ctx.needs_input_grad[3]:
            of_offset = _sum(gradient - of_x, ctx.offset_shape)
        return of_x, of_scale, None, of_offset, None, None

    @staticmethod
    def jvp(ctx, x, scale, zero_point, offset, low, high):
        position, codes = ctx.saved_tensors
        tangent = torch.zeros_like(position)
        if x is not None:
            tangent = tangent + _inside(x, position, ctx.bounds)
        if scale is not None:
            tangent = tangent + scale * _slope(position, codes, ctx.bounds)
        if offset is not None:
            whole = offset.expand_as(position)
            tangent = tangent + whole - _inside(whole, position, ctx.bounds)
        return tangent, None, None


def _is_zero(zero_point):
    return isinstance(zero_point, (int, float)) and zero_point == 0


def _position(x, scale, zero_point):
    ratio = x / scale
    return ratio if _is_zero(zero_point) else ratio + zero_point


def _values(codes, scale, zero_point):
    # Adding makes plus zero of minus zero, as integer codes have none.
    return (codes.add_(0.0) if _is_zero(zero_point) else codes - zero_point) * scale


def _inside(gradient, position, bounds):
    """`gradient` where `position` lies between the bounds, zero elsewhere."""
    return torch.ops.aten.hardtanh_backward(gradient, position, *bounds)


def _slope(position, codes, bounds):
    return codes - _inside(position, position, bounds)


def _product_sum(first, second, shape):
    if not shape:
        return torch.dot(first.reshape(-1), second.reshape(-1))
    return _sum(first * second, shape)


def _sum(tensor, shape):
    """The sum over the axes along which something of `shape` was repeated."""
    if not shape:
        return tensor.sum()
    axes = [axis for axis, size in enumerate(shape) if size != tensor.shape[axis]]
    return tensor.sum(axes, keepdim=True) if axes else tensor
