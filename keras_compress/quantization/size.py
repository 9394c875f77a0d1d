"""How many bytes a quantized model needs."""

from __future__ import annotations

import math
import re

import keras

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_compress.quantization.reparametrized_attention import CHANNELS, ReparametrizedAttention
from keras_compress.quantization.supported import matrices
from keras_compress.quantization.wrapper import QuantizeAware
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built


def packed_size(model: keras.Model | QuantizedModel) -> int:
    """Bytes of the weights of a model, quantized matrices at their few bits.

    Use it to compare models before writing a file. It counts, for each matrix with a quantizer,
    `ceil(values * bits / 8)` bytes for the codes and 4 for each scale (and a code for each zero
    point where they differ); 4 for the scale of each quantized activation; and every other weight
    (biases, normalization, layers left float) at the width of its own dtype, 4 bytes for float32.
    It leaves out the architecture, file headers and the optimizer, and float master weights, which
    only training needs. The size of a plain model is that of its float weights.

    Args:
        model: Built `keras.Model`, quantization-aware or plain, or a `QuantizedModel`.

    Returns:
        Integer, bytes.

    Raises:
        TypeError: If `model` is neither a `keras.Model` nor a `QuantizedModel`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(8)])
    quantized = kc.quantize_aware(model, weights=4)
    assert kc.quantization.packed_size(model) == 4 * (32 * 8 + 8)
    assert kc.quantization.packed_size(quantized) == 32 * 8 // 2 + 4 * 8 + 4 * 8
    ```

    Reference:
        None; arithmetic.
    """
    if isinstance(model, QuantizedModel):
        return model.num_bytes + 4 * len(model.ranges)
    check_built(model, "packed_size")
    wrappers = wrapped_layers(model).values()
    attentions = quantized_attentions(model).values()
    outputs = output_layers(model).values()
    ours: list[keras.layers.Layer] = [*wrappers, *attentions, *outputs]
    counted = {id(variable) for layer in ours for variable in layer.weights}
    rest = [variable for variable in model.weights if id(variable) not in counted]
    packed = sum(layer_bytes(wrapper)[1] for wrapper in wrappers) + sum(map(output_bytes, outputs))
    packed += sum(attention_bytes(attention)[1] for attention in attentions)
    return packed + sum(map(variable_bytes, rest))


def wrapped_layers(model: keras.Model) -> dict[str, QuantizeAware]:
    """The `QuantizeAware` layers of `model` at any depth, by their paths."""
    return {
        path: layer
        for path, layer in layers_by_path(model).items()
        if isinstance(layer, QuantizeAware)
    }


def quantized_attentions(model: keras.Model) -> dict[str, ReparametrizedAttention]:
    """The `ReparametrizedAttention` layers of `model` with quantizers, by their paths."""
    return {
        path: layer
        for path, layer in layers_by_path(model).items()
        if isinstance(layer, ReparametrizedAttention) and layer.is_quantized
    }


def output_layers(model: keras.Model) -> dict[str, QuantizeActivation]:
    """The `QuantizeActivation` layers of `model` at any depth, by their paths."""
    return {
        path: layer
        for path, layer in layers_by_path(model).items()
        if isinstance(layer, QuantizeActivation)
    }


def layer_bytes(wrapper: QuantizeAware) -> tuple[int, int]:
    """Bytes of the weights of the inner layer as floats, and packed with their scales."""
    stored = stored_matrices(wrapper)
    layer = wrapper.layer
    as_floats = sum(map(variable_bytes, layer.weights))
    left = layer.weights
    packed = sum(matrix.num_bytes for matrix in stored.values())
    if isinstance(layer, FoldedBatchNorm):
        # The normalization ends up in the kernel and in a bias of its size.
        left = layer.layer.weights
        if not layer.layer.use_bias:
            packed += variable_bytes(layer.batch_norm.moving_mean)
    packed += sum(variable_bytes(variable) for variable in left if id(variable) not in stored)
    return as_floats, packed + sum(map(_scale_bytes, wrapper.input_quantizers.values()))


def attention_bytes(layer: ReparametrizedAttention) -> tuple[int, int]:
    """Bytes of the weights of an attention as floats, and packed with their scales."""
    of_quantizers = {
        id(variable)
        for quantizer in (*layer.weight_quantizers.values(), *layer.activation_quantizers.values())
        for variable in quantizer.weights
    }
    own = [variable for variable in layer.weights if id(variable) not in of_quantizers]
    stored = {
        id(variable): quantizer.stored(variable.value, CHANNELS[name])
        for name, (variable, quantizer) in layer.quantized_matrices().items()
    }
    packed = sum(matrix.num_bytes for matrix in stored.values())
    packed += sum(variable_bytes(variable) for variable in own if id(variable) not in stored)
    packed += sum(map(_scale_bytes, layer.activation_quantizers.values()))
    return sum(map(variable_bytes, own)), packed


def stored_matrices(wrapper: QuantizeAware) -> dict[int, QuantizedMatrix]:
    """The stored forms of the quantized matrices, by the `id` of their variables."""
    axes = {matrix.name: matrix.axis for matrix in matrices(wrapper.layer)}
    values = wrapper.float_matrices()
    return {
        id(variable): quantizer.stored(values[name], axes[name])
        for name, (variable, quantizer) in wrapper.quantized_matrices().items()
    }


def output_bytes(layer: QuantizeActivation) -> int:
    """Bytes of the scale of a quantized activation."""
    return 0 if layer.activation_quantizer is None else _scale_bytes(layer.activation_quantizer)


def _scale_bytes(quantizer: Quantizer) -> int:
    return 4 * math.prod(quantizer.granularity.scale_shape)


def variable_bytes(variable: keras.Variable) -> int:
    """Bytes of a variable at the width of its dtype."""
    digits = re.search(r"\d+", keras.backend.standardize_dtype(variable.dtype))
    bits = int(digits.group()) if digits else 8
    return math.prod(variable.shape) * bits // 8
