"""Layers computed in a way that TensorFlow's converter turns into 8-bit operations.

The converter finds integers behind `fake_quant` operations: of inputs, and of weights with one
scale for each entry of the last axis. It moves the axes of the weights of matrix products and of
depthwise convolutions without moving the scales along, and then fails; convolutions of one pixel,
and in groups, say the same and convert.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops
from keras.quantizers import fake_quant_with_min_max_vars

from keras_compress.export.integer_form import IntegerForm
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.quantization.quantized_model import ActivationRange

#: The converter's weights are -127..127, so that products of two never overflow.
HIGHEST = 127


def refusal(layer: keras.layers.Layer, matrix: QuantizedMatrix, form: IntegerForm) -> str | None:
    """Why the weight of a layer cannot become 8-bit integers with one scale for each output."""
    if type(layer) not in _CALLS:
        return f"there is no 8-bit form of {type(layer).__name__} here"
    if layer.dtype_policy.compute_dtype != "float32":
        return f"it computes in {layer.dtype_policy.compute_dtype}"
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "its channels come first"
    if isinstance(layer, layers.EinsumDense) and _einsum_tail(layer) is None:
        return f"the equation {layer.equation!r} is no product of matrices"
    if not form.centered().fits(8):
        return "its codes do not fit in 8 bits"
    if form.group[0] < len(form.codes):
        return "it has several scales for an output"
    if matrix.channel_axes != _output_axes(layer) and form.scale.size > 1:
        return "its scales belong to other axes than its outputs"
    return None


def call(layer: keras.layers.Layer, form: IntegerForm) -> Callable:
    """What to call instead of `layer.call`."""
    form = form.centered()
    outputs = math.prod(layer.kernel.shape[axis] for axis in _output_axes(layer))
    bound = np.broadcast_to(HIGHEST * form.expanded(form.scale)[0], (outputs,))

    def rounded(kernel):
        return fake_quant_with_min_max_vars(
            kernel, -bound, bound, num_bits=8, narrow_range=True, axis=-1
        )

    compute = _CALLS[type(layer)]

    def changed(inputs, *args, **kwargs):
        kernel = ops.convert_to_tensor(layer.kernel)
        outputs = compute(layer, ops.convert_to_tensor(inputs), kernel, rounded)
        if layer.bias is not None:
            outputs = outputs + layer.bias
        return outputs if layer.activation is None else layer.activation(outputs)

    return changed


def rounded_input(inputs, range_: ActivationRange):
    """`inputs` on their grid, which the converter finds."""
    low, high = (float(range_.scale * (code - range_.zero_point)) for code in range_.code_range)
    if range_.bits < 8:
        inputs = ops.clip(inputs, low, high)
    lowest = range_.code_range[0] if range_.bits == 8 else (-128 if range_.signed else 0)
    ends = (range_.scale * (code - range_.zero_point) for code in (lowest, lowest + 255))
    return fake_quant_with_min_max_vars(inputs, *map(np.float32, ends), num_bits=8)


def _output_axes(layer):
    if isinstance(layer, layers.DepthwiseConv2D):
        return (2, 3)
    if isinstance(layer, layers.EinsumDense):
        return tuple(range(len(layer.kernel.shape)))[-len(_einsum_tail(layer)) :]
    return (len(layer.kernel.shape) - 1,)


def _einsum_tail(layer):
    """Letters of the outputs if the equation multiplies the last axes of its input, else `None`."""
    operands, output = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    tail = "".join(letter for letter in kernel if letter in output)
    reduced = kernel[: len(kernel) - len(tail)]
    shared = inputs[: len(inputs) - len(reduced)]
    fits = kernel == reduced + tail and inputs == shared + reduced and output == shared + tail
    return tail if fits and tail and reduced else None


def _dense(layer, inputs, kernel, rounded):
    return _product(
        inputs, rounded(ops.reshape(kernel, (1, 1, *kernel.shape))), 1, kernel.shape[1:]
    )


def _einsum_dense(layer, inputs, kernel, rounded):
    tail = kernel.shape[-len(_einsum_tail(layer)) :]
    rows = math.prod(kernel.shape[: len(kernel.shape) - len(tail)])
    flat = rounded(ops.reshape(kernel, (1, 1, rows, math.prod(tail))))
    return _product(inputs, flat, len(kernel.shape) - len(tail), tail)


def _product(inputs, kernel, num_reduced, tail):
    """The product of matrices as a convolution of one pixel."""
    before = ops.shape(inputs)[: len(inputs.shape) - num_reduced]
    pixels = ops.reshape(inputs, (-1, 1, 1, kernel.shape[2]))
    return ops.reshape(ops.conv(pixels, kernel), (-1, *before[1:], *tail))


def _conv(layer, inputs, kernel, rounded):
    return ops.conv(inputs, rounded(kernel), **_geometry(layer))


def _depthwise(layer, inputs, kernel, rounded):
    height, width, channels, multiplier = kernel.shape
    grouped = ops.reshape(kernel, (height, width, 1, channels * multiplier))
    return ops.conv(inputs, rounded(grouped), **_geometry(layer))


def _geometry(layer):
    return {
        "strides": layer.strides,
        "padding": layer.padding,
        "dilation_rate": layer.dilation_rate,
    }


_CALLS = {
    layers.Conv2D: _conv,
    layers.Dense: _dense,
    layers.DepthwiseConv2D: _depthwise,
    layers.EinsumDense: _einsum_dense,
}
