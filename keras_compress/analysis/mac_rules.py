"""How many multiply-accumulates a layer needs, one small rule a kind of layer."""

from __future__ import annotations

import math
from collections.abc import Callable

from keras import layers

from keras_reweight.core.call_shapes import LayerCall

Rule = Callable[[LayerCall], int]

_CONV = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)


def mac_rule(layer: layers.Layer) -> Rule | None:
    """`call -> MACs of the whole batch` for layers that are counted as one; `None` for others."""
    for kinds, rule in _RULES:
        if isinstance(layer, kinds):
            return rule
    return None


def _dense(call):
    return math.prod(call.first) * call.layer.units


def _einsum_dense(call):
    inputs, rest = call.layer.equation.replace(" ", "").split(",")
    kernel, outputs = rest.split("->")
    summed = [
        size
        for label, size in zip(kernel, call.layer.kernel.shape, strict=True)
        if label not in outputs
    ]
    return math.prod(call.outputs[0]) * math.prod(summed)


def _channel_axis(layer):
    return 1 if layer.data_format == "channels_first" else -1


def _convolution(call):
    layer = call.layer
    fan_in = call.first[_channel_axis(layer)] // layer.groups
    return math.prod(call.outputs[0]) * math.prod(layer.kernel_size) * fan_in


def _transposed_convolution(call):
    # Every input value is spread over a window of every filter.
    return math.prod(call.first) * math.prod(call.layer.kernel_size) * call.layer.filters


def _depthwise_convolution(call):
    return math.prod(call.outputs[0]) * math.prod(call.layer.kernel_size)


def _separable_convolution(call):
    layer = call.layer
    positions = math.prod(call.outputs[0]) // layer.filters
    middle = call.first[_channel_axis(layer)] * layer.depth_multiplier
    return positions * middle * (math.prod(layer.kernel_size) + layer.filters)


def _recurrent(call):
    steps, output = call.first[1], call.outputs[0]
    matrices = [
        math.prod(variable.shape)
        for variable in call.layer.weights
        if len(variable.shape) >= 2 and variable.name != "bias"
    ]
    # A convolutional cell works at every place of its output, the last axes but the filters.
    places = 1
    if isinstance(call.layer, (layers.ConvLSTM1D, layers.ConvLSTM2D, layers.ConvLSTM3D)):
        has_time = bool(call.layer.return_sequences)
        places = math.prod(output[1 + has_time :]) // call.layer.filters
    return call.first[0] * steps * places * sum(matrices)


def _multi_head_attention(call):
    query = call.inputs["query"][0]
    value = call.inputs["value"][0]
    key = call.inputs.get("key", [value])[0]
    layer = call.layer
    sizes = {
        variable.path.split("/")[-2]: math.prod(variable.shape)
        for variable in layer.weights
        if variable.name == "kernel"
    }
    projections = (
        _positions(query) * (sizes["query"] + sizes["attention_output"])
        + _positions(key) * sizes["key"]
        + _positions(value) * sizes["value"]
    )
    if isinstance(layer, layers.GroupQueryAttention):
        heads, key_dim, value_dim = layer.num_query_heads, layer.head_dim, layer.head_dim
        attended = key[1]
    else:
        heads, key_dim, value_dim = layer.num_heads, layer.key_dim, layer.value_dim
        axes = layer.get_config()["attention_axes"]
        axes = (axes,) if isinstance(axes, int) else axes or range(1, len(key) - 1)
        attended = math.prod(key[axis] for axis in axes)
    return projections + _positions(query) * attended * heads * (key_dim + value_dim)


def _positions(shape):
    return math.prod(shape[:-1])


def _dot_product_attention(call):
    query, value, *rest = call.inputs["inputs"]
    key = rest[0] if rest else value
    return math.prod(query[:-1]) * key[1] * (key[-1] + value[-1])


def _dot(call):
    axes = call.layer.axes
    axis = axes if isinstance(axes, int) else axes[0]
    return math.prod(call.outputs[0]) * call.inputs["inputs"][0][axis]


def _embedding(call):
    # Only a reversible embedding used in reverse multiplies; a lookup adds an axis.
    if len(call.first) == len(call.outputs[0]):
        return math.prod(call.first) * call.outputs[0][-1]
    return 0


_RULES: tuple[tuple[tuple[type, ...], Rule], ...] = (
    ((layers.Dense,), _dense),
    ((layers.EinsumDense,), _einsum_dense),
    # Before the convolutions, of which Keras may make them subclasses.
    (_DEPTHWISE, _depthwise_convolution),
    (_SEPARABLE, _separable_convolution),
    (_TRANSPOSED, _transposed_convolution),
    (_CONV, _convolution),
    ((layers.RNN,), _recurrent),
    ((layers.MultiHeadAttention, layers.GroupQueryAttention), _multi_head_attention),
    ((layers.Attention, layers.AdditiveAttention), _dot_product_attention),
    ((layers.Dot,), _dot),
    ((layers.Embedding,), _embedding),
)
