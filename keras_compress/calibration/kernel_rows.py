"""A layer with a kernel as a matrix product: rows of its input times a matrix."""

from __future__ import annotations

import itertools
import math
import string
from typing import Any

import keras
import numpy as np
from keras import layers, ops

_CONVOLUTIONS = (layers.Conv1D, layers.Conv2D, layers.Conv3D)
_DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
_KINDS = (layers.Dense, layers.EinsumDense, *_CONVOLUTIONS, *_DEPTHWISE)


def has_kernel_rows(layer: keras.layers.Layer) -> bool:
    """Whether the layer multiplies rows of its input with one kernel."""
    return isinstance(layer, _KINDS)


def num_groups(layer: keras.layers.Layer) -> int:
    """How many parts of the channels the kernel treats one by one; one but for convolutions."""
    if isinstance(layer, _DEPTHWISE):
        return int(layer.kernel.shape[-2])
    return layer.groups if isinstance(layer, _CONVOLUTIONS) else 1


def input_rows(layer: keras.layers.Layer, inputs: Any) -> Any:
    """What the kernel is multiplied with: shape `(batch, ..., rows)`.

    Patches of `kernel positions x channels` for a convolution, in the order of the kernel, and
    `(batch, ..., groups, rows)` for one with groups. Layers without a kernel: their last axis (or
    the channel axis).
    """
    if isinstance(layer, layers.EinsumDense):
        return _einsum_rows(layer, inputs)
    if not isinstance(layer, (*_CONVOLUTIONS, *_DEPTHWISE)):
        return _channels_last(layer, inputs)
    patches = _patches(layer, _channels_last(layer, inputs))
    groups, shape = num_groups(layer), ops.shape(patches)
    if groups > 1:
        patches = ops.reshape(patches, (*shape[:-1], groups, shape[-1] // groups))
        axes = list(range(len(patches.shape)))
        patches = ops.transpose(patches, (*axes[:-3], axes[-2], axes[-3], axes[-1]))
    shape = ops.shape(patches)
    return ops.reshape(patches, (*shape[:-2], math.prod(shape[-2:])))


def row_mask(layer: keras.layers.Layer, mask: Any) -> Any:
    """The mask of the positions of `input_rows`: a window counts if one token in it does."""
    if not isinstance(layer, (*_CONVOLUTIONS, *_DEPTHWISE)):
        return mask
    return ops.any(_patches(layer, ops.expand_dims(mask, -1)), axis=(-2, -1))


def kernel_matrix(layer: keras.layers.Layer, kernel: Any = None) -> np.ndarray:
    """The kernel as float array of shape `(rows, outputs)`, or `(groups, rows, outputs)`."""
    kernel = ops.convert_to_numpy(ops.convert_to_tensor(layer.kernel if kernel is None else kernel))
    kernel = kernel if kernel.dtype == np.float64 else kernel.astype("float32")
    if isinstance(layer, layers.EinsumDense):
        order, contracted = _einsum_order(layer)
        kernel = kernel.transpose(order)
        return kernel.reshape(math.prod(kernel.shape[:contracted]), -1)
    if isinstance(layer, layers.Dense):
        return kernel
    groups = num_groups(layer)
    if groups == 1:
        return kernel.reshape(-1, kernel.shape[-1])
    if isinstance(layer, _DEPTHWISE):
        return np.moveaxis(kernel.reshape(-1, *kernel.shape[-2:]), 1, 0)
    return np.moveaxis(kernel.reshape(-1, groups, kernel.shape[-1] // groups), 1, 0)


def kernel_of_matrix(layer: keras.layers.Layer, matrix: np.ndarray) -> np.ndarray:
    """The inverse of `kernel_matrix`: an array of the shape of the kernel."""
    shape = tuple(layer.kernel.shape)
    if isinstance(layer, layers.EinsumDense):
        order, _ = _einsum_order(layer)
        return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
    return (np.moveaxis(matrix, 0, 1) if matrix.ndim == 3 else matrix).reshape(shape)


def channel_axes(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Axes of the kernel that hold its outputs; the others are the rows, in their order."""
    if isinstance(layer, layers.EinsumDense):
        order, contracted = _einsum_order(layer)
        return tuple(order[contracted:])
    rank = len(layer.kernel.shape)
    return (rank - 2, rank - 1) if isinstance(layer, _DEPTHWISE) else (rank - 1,)


def rows_as_kernel(layer: keras.layers.Layer, rows: np.ndarray) -> np.ndarray:
    """One number a row, of shape `(rows,)` or `(groups, rows)`, at every weight of the row."""
    return kernel_of_matrix(
        layer, np.broadcast_to(rows[..., None], kernel_matrix(layer).shape).astype("float64")
    )


def _channels_last(layer, inputs):
    first = getattr(layer, "data_format", None) == "channels_first" and len(inputs.shape) > 2
    return ops.moveaxis(inputs, 1, -1) if first else inputs


def _patches(layer, inputs):
    """`(batch, positions ..., kernel positions, channels)`, every stride, dilation and padding."""
    rank = len(layer.kernel_size)
    shape = ops.shape(inputs)
    slices, pads = [], [(0, 0)]
    for size, stride, dilation, length in zip(
        layer.kernel_size, layer.strides, layer.dilation_rate, shape[1:-1], strict=True
    ):
        reach = (size - 1) * dilation
        before, after = 0, 0
        if layer.padding == "causal":
            before = reach
        elif layer.padding == "same":
            total = max((math.ceil(length / stride) - 1) * stride + reach + 1 - length, 0)
            before, after = total // 2, total - total // 2
        steps = (length + before + after - reach - 1) // stride
        slices.append(
            [
                slice(offset * dilation, offset * dilation + steps * stride + 1, stride)
                for offset in range(size)
            ]
        )
        pads.append((before, after))
    if any(max(pad) for pad in pads):
        inputs = ops.pad(inputs, (*pads, (0, 0)))
    parts = [inputs[(slice(None), *part)] for part in itertools.product(*slices)]
    return ops.stack(parts, axis=rank + 1)


def _einsum_labels(layer, rank=None):
    left, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = left.split(",")
    if "..." in inputs:
        free = [letter for letter in string.ascii_letters if letter not in layer.equation]
        count = 0 if rank is None else rank - len(inputs) + 3
        fill = "".join(free[:count])
        inputs, output = inputs.replace("...", fill), output.replace("...", fill)
    return inputs, kernel, output


def _einsum_order(layer):
    """Axes of the kernel, those it shares with the input first, and how many these are."""
    inputs, kernel, output = _einsum_labels(layer)
    contracted = [axis for axis, label in enumerate(kernel) if label in inputs]
    created = [axis for axis, label in enumerate(kernel) if label in output]
    if set(contracted) & set(created):
        raise ValueError(
            f"layer {layer.path!r}: equation {layer.equation!r} uses a kernel axis in its input "
            "and its output, so the kernel is no single matrix."
        )
    return [*contracted, *created], len(contracted)


def _einsum_rows(layer, tensor):
    inputs, kernel, output = _einsum_labels(layer, len(tensor.shape))
    _einsum_order(layer)
    positions = [axis for axis, label in enumerate(inputs) if label not in kernel]
    if any(inputs[axis] not in output for axis in positions) or positions[:1] != [0]:
        raise ValueError(
            f"layer {layer.path!r}: equation {layer.equation!r} is no product of input rows with "
            "the kernel."
        )
    contracted = [inputs.index(label) for label in kernel if label in inputs]
    tensor = ops.transpose(tensor, (*positions, *contracted))
    shape = ops.shape(tensor)
    return ops.reshape(tensor, (*shape[: len(positions)], math.prod(shape[len(positions) :])))
