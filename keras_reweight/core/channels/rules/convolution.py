"""Convolutions: plain, transposed, grouped, depthwise and separable."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.rules.activation_kinds import mixing_activation
from keras_reweight.core.channels.trace import Call, Tracked, is_quantized


def channel_axis(layer, rank: int) -> int:
    return 1 if getattr(layer, "data_format", None) == "channels_first" else rank - 1


def _made(call: Call, count: int) -> np.ndarray:
    filters = call.produce("channels", count)
    if reason := mixing_activation(call.operation.activation):
        call.freeze(filters, reason)
    call.edit("filters", lambda kept: kept(filters))
    return filters


def convolution(call: Call) -> list[Tracked]:
    layer, (x, *_) = call.operation, call.inputs
    if reason := is_quantized(layer):
        return call.refuse(reason)
    axis = channel_axis(layer, len(x.shape))
    taken = call.along(x, axis)
    filters = _made(call, layer.filters)
    groups = layer.groups
    if groups > 1 and taken.size == groups:
        # One channel for each group: groups go as a whole, as in a depthwise convolution.
        blocks = filters.reshape(groups, -1)
        call.union(np.repeat(taken, blocks.shape[1]), filters)
        call.edit("groups", lambda kept: kept(taken))
    elif groups > 1:
        # Every group loses the same positions, so all stay equally wide.
        for atoms in (taken.reshape(groups, -1), filters.reshape(groups, -1)):
            call.union(np.tile(atoms[0], groups - 1), atoms[1:].ravel())
        call.bind(layer.kernel, -2, taken[: taken.size // groups], "in")
    else:
        call.bind(layer.kernel, -2, taken, "in")
    call.bind(layer.kernel, -1, filters, "out")
    call.bind(layer.bias, 0, filters, "out")
    return call.outputs(axis, filters)


def transposed_convolution(call: Call) -> list[Tracked]:
    layer, (x, *_) = call.operation, call.inputs
    axis = channel_axis(layer, len(x.shape))
    filters = _made(call, layer.filters)
    call.bind(layer.kernel, -1, call.along(x, axis), "in")
    call.bind(layer.kernel, -2, filters, "out")
    call.bind(layer.bias, 0, filters, "out")
    return call.outputs(axis, filters)


def depthwise_convolution(call: Call) -> list[Tracked]:
    layer, (x, *_) = call.operation, call.inputs
    axis = channel_axis(layer, len(x.shape))
    taken = call.along(x, axis)
    made = np.repeat(taken, layer.depth_multiplier)
    if reason := mixing_activation(layer.activation):
        call.freeze(made, reason)
    call.bind(layer.kernel, -2, taken, "channelwise")
    call.bind(layer.bias, 0, made, "channelwise")
    return call.outputs(axis, made)


def separable_convolution(call: Call) -> list[Tracked]:
    layer, (x, *_) = call.operation, call.inputs
    axis = channel_axis(layer, len(x.shape))
    taken = call.along(x, axis)
    filters = _made(call, layer.filters)
    call.bind(layer.depthwise_kernel, -2, taken, "channelwise")
    call.bind(layer.pointwise_kernel, -2, np.repeat(taken, layer.depth_multiplier), "in")
    call.bind(layer.pointwise_kernel, -1, filters, "out")
    call.bind(layer.bias, 0, filters, "out")
    return call.outputs(axis, filters)


RULES = {
    keras.layers.Conv1D: convolution,
    keras.layers.Conv2D: convolution,
    keras.layers.Conv3D: convolution,
    keras.layers.Conv1DTranspose: transposed_convolution,
    keras.layers.Conv2DTranspose: transposed_convolution,
    keras.layers.Conv3DTranspose: transposed_convolution,
    keras.layers.DepthwiseConv1D: depthwise_convolution,
    keras.layers.DepthwiseConv2D: depthwise_convolution,
    keras.layers.SeparableConv1D: separable_convolution,
    keras.layers.SeparableConv2D: separable_convolution,
}
