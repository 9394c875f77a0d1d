"""Which layers can be quantized, which of their variables, and along which channels."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
from keras import layers

_Axes = dict[str, tuple[int, ...]]

_LAST: _Axes = {"kernel": (-1,)}
_TRANSPOSED: _Axes = {"kernel": (-2,)}
_DEPTHWISE: _Axes = {"kernel": (-2, -1)}
_SEPARABLE: _Axes = {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)}

# Layer class -> variable name -> axes of the output channels.
_CHANNELS: dict[type, _Axes | None] = {
    layers.Dense: _LAST,
    layers.Conv1D: _LAST,
    layers.Conv2D: _LAST,
    layers.Conv3D: _LAST,
    layers.Conv1DTranspose: _TRANSPOSED,
    layers.Conv2DTranspose: _TRANSPOSED,
    layers.Conv3DTranspose: _TRANSPOSED,
    layers.DepthwiseConv1D: _DEPTHWISE,
    layers.DepthwiseConv2D: _DEPTHWISE,
    layers.SeparableConv1D: _SEPARABLE,
    layers.SeparableConv2D: _SEPARABLE,
    layers.EinsumDense: None,  # follows from the equation
}


class Matrix(NamedTuple):
    """A weight matrix of a layer and the axes that hold its output channels."""

    name: str
    variable: keras.Variable
    axis: tuple[int, ...] | None


def refusal(layer: keras.layers.Layer) -> str | None:
    """Why `layer` cannot be quantized, or `None` if it can."""
    from keras_compress.quantization.wrapper import QuantizeAware

    if isinstance(layer, QuantizeAware):
        return "already quantization-aware"
    if isinstance(layer, keras.Model):
        return "a subclassed model; wrap its layers with QuantizeAware in its constructor"
    if not isinstance(layer, tuple(_CHANNELS)):
        if any(len(variable.shape) >= 2 for variable in layer.weights):
            return f"{type(layer).__name__} is not supported"
        return f"{type(layer).__name__} has no weight matrix"
    mode = getattr(layer, "quantization_mode", None)
    if mode is not None:
        return f"already quantized by Keras ({mode})"
    if getattr(layer, "lora_enabled", False):
        return "LoRA is enabled, and its kernel is a sum of several variables"
    return None


def matrices(layer: keras.layers.Layer) -> list[Matrix]:
    """The weight matrices of a built, supported layer."""
    return [
        Matrix(variable.name, variable, _single_values_shared(variable, axis))
        for variable in layer.weights
        if (axis := _channel_axes(layer, variable)) is not None
    ]


def _channel_axes(layer, variable):
    if len(variable.shape) < 2:
        return None
    for kind, channels in _CHANNELS.items():
        if isinstance(layer, kind):
            if channels is None:
                return _einsum_axes(layer) if variable.name == "kernel" else None
            return channels.get(variable.name)
    return None


def _einsum_axes(layer):
    """Axes of the kernel that appear in the output, such as `d` in `abc,cd->abd`."""
    operands, output = layer.equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1].replace("...", "")
    return tuple(index - len(kernel) for index, letter in enumerate(kernel) if letter in output)


def _single_values_shared(variable, axis):
    """`None` (one scale) where every single value would get a float scale of its own."""
    shape = variable.shape
    channels = math.prod(shape[index] for index in axis)
    return None if channels == math.prod(shape) else axis
