"""Which layers can be quantized, which of their variables, and along which channels."""

from __future__ import annotations

import math
from typing import NamedTuple

import keras
from keras import layers

from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_reweight.core.held_layers import held_layers
from keras_reweight.core.selection import layers_by_path

_Axes = dict[str, tuple[int, ...]]

_LAST: _Axes = {"kernel": (-1,)}
_TRANSPOSED: _Axes = {"kernel": (-2,)}
_DEPTHWISE: _Axes = {"kernel": (-2, -1)}
_SEPARABLE: _Axes = {"depthwise_kernel": (-2, -1), "pointwise_kernel": (-1,)}
# A scale for every row: an embedding is one row, and one output where the table is used reversed.
_TABLE: _Axes = {"embeddings": (0,), "reverse_embeddings": (-1,)}
_RECURRENT: _Axes = {"kernel": (-1,), "recurrent_kernel": (-1,)}

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
    layers.Embedding: _TABLE,
    layers.RNN: _RECURRENT,
}
# Layers that call another layer in a loop or on parts of their input, as one with it.
_AROUND = (FoldedBatchNorm, layers.Bidirectional, layers.TimeDistributed)
_COMPOSED = (layers.MultiHeadAttention, layers.GroupQueryAttention)


class Matrix(NamedTuple):
    """A weight matrix of a layer and the axes that hold its output channels."""

    name: str
    variable: keras.Variable
    axis: tuple[int, ...] | None


class Part(NamedTuple):
    """A layer with matrices that gets its own input: a layer itself, or one inside of it.

    `name` says which attributes of the outer layer lead to it; it is empty for the outer layer
    itself. The names of `matrices` start with it.
    """

    name: str
    layer: keras.layers.Layer
    matrices: list[Matrix]


def refusal(layer: keras.layers.Layer) -> str | None:
    """Why `layer` cannot be quantized, or `None` if it can."""
    inside = list(layers_by_path(layer).values())
    if any(hasattr(one, "quantized_matrices") for one in (layer, *inside)):
        return "already quantization-aware"
    found = parts(layer)
    if not found:
        if any(len(variable.shape) >= 2 for variable in layer.weights):
            return f"{type(layer).__name__} is not supported"
        return f"{type(layer).__name__} has no weight matrix"
    if any(part.name and isinstance(part.layer, FoldedBatchNorm) for part in found):
        return "it holds FoldedBatchNorm layers; wrap these themselves"
    for one in (layer, *inside):
        if mode := getattr(one, "quantization_mode", None):
            return f"already quantized by Keras ({mode})"
        if getattr(one, "lora_enabled", False):
            return "LoRA is enabled, and its kernel is a sum of several variables"
        if hasattr(one, "effective_kernel"):
            return "its kernel is a function of the trained one; fold it first (`fold_kernels`)"
    return None


def input_refusal(part: Part) -> str | None:
    """Why the input of a part cannot be quantized, or `None` if it can."""
    if isinstance(part.layer, layers.Embedding):
        return "its input are integers"
    return None


def matrices(layer: keras.layers.Layer) -> list[Matrix]:
    """The weight matrices of a built, supported layer and of the layers in it."""
    return [matrix for part in parts(layer) for matrix in part.matrices]


def parts(layer: keras.layers.Layer) -> list[Part]:
    """The parts of a layer that can be quantized; those of a layer without any are none.

    Layers that are not built may have parts without matrices, and lack parts they make when built.
    """
    if _is_one_part(layer):
        return [Part("", layer, _matrices_in(layer))]
    found: list[Part] = []
    seen: set[int] = set()

    def visit(holder, prefix):
        for (attribute, inside), inner in held_layers(holder):
            if id(inner) in seen:
                continue
            seen.add(id(inner))
            # Layer names may be made up anew when a layer is copied or loaded; attributes stay.
            name = "/".join([prefix + attribute.lstrip("_"), *map(str, inside)])
            if _is_one_part(inner):
                inner_matrices = [
                    one._replace(name=f"{name}/{one.name}") for one in _matrices_in(inner)
                ]
                found.append(Part(name, inner, inner_matrices))
            else:
                visit(inner, name + "/")

    visit(layer, "")
    return found


def is_of_keras(layer: keras.layers.Layer) -> bool:
    """Whether the arguments and outputs of a layer are those of a supported Keras layer."""
    return _is_one_part(layer) or isinstance(layer, _COMPOSED)


def _is_one_part(layer):
    if isinstance(layer, (layers.Bidirectional, layers.TimeDistributed)):
        inner = layer.forward_layer if isinstance(layer, layers.Bidirectional) else layer.layer
        return _is_one_part(inner)
    return isinstance(layer, (*_CHANNELS, FoldedBatchNorm))


def _matrices_in(layer):
    """The matrices of a layer that is one part."""
    if isinstance(layer, layers.Bidirectional):
        sides = [("forward", layer.forward_layer), ("backward", layer.backward_layer)]
        return [
            one._replace(name=f"{side}/{one.name}")
            for side, inner in sides
            for one in _matrices_in(inner)
        ]
    if isinstance(layer, _AROUND):
        return _matrices_in(layer.layer)
    if isinstance(layer, layers.RNN) and isinstance(layer.cell, layers.StackedRNNCells):
        return [
            one._replace(name=f"cell_{index}/{one.name}")
            for index, cell in enumerate(layer.cell.cells)
            for one in _own_matrices(layer, cell)
        ]
    return _own_matrices(layer, layer)


def _own_matrices(kind, layer):
    found: dict[str, Matrix] = {}
    for variable in layer.weights:
        axis = _channel_axes(kind, variable)
        if axis is not None:
            name, number = variable.name, 1
            while name in found:  # several in a cell of one's own
                name, number = f"{variable.name}_{number}", number + 1
            found[name] = Matrix(name, variable, _single_values_shared(variable, axis))
    return list(found.values())


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
