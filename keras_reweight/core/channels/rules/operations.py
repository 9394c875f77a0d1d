"""Bare `keras.ops` between the layers, by the name of their class."""

from __future__ import annotations

import numpy as np

from keras_reweight.core.channels.rules.merge import concatenated, merged
from keras_reweight.core.channels.rules.reshaping import permuted, reshaped, with_size
from keras_reweight.core.channels.trace import Call, Tracked

_UNARY = (
    "Abs Absolute Cast Celu Ceil Copy Cos Elu Erf Exp Expm1 Floor Gelu HardShrink HardSigmoid "
    "HardSilu HardTanh LeakyRelu Log Log1p LogSigmoid Negative Reciprocal Relu Relu6 Round Rsqrt "
    "Selu Sigmoid Sign Silu Sin SoftShrink Softplus Softsign SparsePlus SparseSigmoid Sqrt Square "
    "Squareplus StopGradient Tanh TanhShrink Threshold"
).split()
_BINARY = "Add Clip Divide Maximum Minimum Multiply Power Subtract TrueDivide Where".split()
_REDUCING = "Max Mean Min Prod Std Sum Var".split()


def unary(call: Call) -> list[Tracked]:
    if len(call.inputs) != 1:
        return call.refuse("takes several tensors")
    (x,) = call.inputs
    return call.outputs(x.axis, x.atoms)


def binary(call: Call) -> list[Tracked]:
    """Numbers and arrays among the arguments count as tensors with nothing that can go."""
    inputs = []
    for argument in (*call.args, *call.kwargs.values()):
        tracked = call.tracked(argument)
        if tracked is None:
            shape = getattr(argument, "shape", None)
            tracked = Tracked(np.shape(argument) if shape is None else tuple(shape))
        inputs.append(tracked)
    return merged(call, inputs)


def reduction(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    if x.axis is None:
        return call.outputs(None)
    axes = call.operation.axis
    if axes is None:
        return call.refuse("reduces the channels")
    axes = [axis % len(x.shape) for axis in (axes if isinstance(axes, (list, tuple)) else [axes])]
    if x.axis in axes:
        return call.refuse("reduces the channels")
    gone = 0 if call.operation.keepdims else sum(axis < x.axis for axis in axes)
    return call.outputs(x.axis - gone, x.atoms)


def concatenate(call: Call) -> list[Tracked]:
    return concatenated(call, call.operation.axis)


def reshape(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    y = call.same("output", reshaped(call, x, call.output_shapes[0]))
    if y.axis is not None:
        target = call.operation.newshape
        target = (target,) if isinstance(target, int) else tuple(target)
        axis = y.axis
        call.edit("newshape", lambda kept: with_size(target, axis, kept(y.atoms)))
    return [y]


def resized_axes(call: Call) -> list[Tracked]:
    """`squeeze` and `expand_dims`."""
    (x,) = call.inputs
    return [reshaped(call, x, call.output_shapes[0])]


def transpose(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    axes = call.operation.axes
    order = range(len(x.shape))[::-1] if axes is None else [axis % len(x.shape) for axis in axes]
    return [permuted(x, tuple(order))]


def pad(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    if x.axis is None:
        return call.outputs(None)
    widths = call.operation.pad_width
    width = widths[0] if len(widths) == 1 else widths[x.axis]
    if any(width):
        return call.refuse("pads the channels")
    return call.outputs(x.axis, x.atoms)


def split(call: Call) -> list[Tracked]:
    """Parts of the same size lose the same positions, so they stay of the same size."""
    (x,) = call.inputs
    axis = call.operation.axis % len(x.shape)
    if x.axis != axis:
        return call.outputs(x.axis, x.atoms)
    sections = call.operation.indices_or_sections
    if not isinstance(sections, int):
        return call.refuse("splits at fixed positions")
    parts = x.atoms.reshape(sections, -1)
    call.union(np.tile(parts[0], sections - 1), parts[1:].ravel())
    return [
        Tracked(shape, axis, part) for shape, part in zip(call.output_shapes, parts, strict=True)
    ]


def get_item(call: Call) -> list[Tracked]:
    """Indexing along other axes than that of the channels."""
    (x,) = call.inputs
    if x.axis is None:
        return call.outputs(None)
    key = call.argument(1, "key")
    key = tuple(key) if isinstance(key, (list, tuple)) else (key,)
    if not all(isinstance(one, (int, slice)) for one in key):
        return call.refuse("indexes in a way that is not followed")
    if x.axis < len(key) and key[x.axis] != slice(None):
        return call.refuse("picks channels at fixed positions")
    gone = sum(isinstance(one, int) for one in key[: x.axis])
    return call.outputs(x.axis - gone, x.atoms)


RULES = {
    **dict.fromkeys(_UNARY, unary),
    **dict.fromkeys(_BINARY, binary),
    **dict.fromkeys(_REDUCING, reduction),
    "Concatenate": concatenate,
    "ExpandDims": resized_axes,
    "GetItem": get_item,
    "Pad": pad,
    "Reshape": reshape,
    "Split": split,
    "Squeeze": resized_axes,
    "Transpose": transpose,
}
