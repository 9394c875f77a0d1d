"""How many bytes a quantized model needs."""

from __future__ import annotations

import math
import re

import keras

from keras_compress.quantization.bit_packing import packed_length
from keras_compress.quantization.quantizer import Quantizer
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built


def packed_size(model: keras.Model) -> int:
    """Bytes of the weights of a model, quantized matrices at their few bits.

    Use it to compare models before writing a file. It counts, for each matrix with a quantizer,
    `ceil(values * bits / 8)` bytes for the codes and 4 for each scale; 4 for the scale of each
    quantized activation; and every other weight (biases, normalization, layers left float) at
    the width of its own dtype, 4 bytes for float32. It leaves out the architecture, file headers
    and the optimizer, and float master weights, which only training needs. The size of a plain
    model is that of its float weights.

    Args:
        model: Built `keras.Model`, quantization-aware or plain.

    Returns:
        Integer, bytes.

    Raises:
        TypeError: If `model` is no `keras.Model`.
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
    check_built(model, "packed_size")
    wrappers = wrapped_layers(model).values()
    counted = {id(variable) for wrapper in wrappers for variable in wrapper.weights}
    rest = [variable for variable in model.weights if id(variable) not in counted]
    return sum(layer_bytes(wrapper)[1] for wrapper in wrappers) + sum(map(variable_bytes, rest))


def wrapped_layers(model: keras.Model) -> dict[str, QuantizeAware]:
    """The `QuantizeAware` layers of `model` at any depth, by their paths."""
    return {
        path: layer
        for path, layer in layers_by_path(model).items()
        if isinstance(layer, QuantizeAware)
    }


def layer_bytes(wrapper: QuantizeAware) -> tuple[int, int]:
    """Bytes of the weights of the inner layer as floats, and packed with their scales."""
    matrices = {id(variable): q for variable, q in wrapper.quantized_matrices().values()}
    as_floats = packed = 0
    for variable in wrapper.layer.weights:
        size = variable_bytes(variable)
        as_floats += size
        if id(variable) in matrices:
            size = _matrix_bytes(variable, matrices[id(variable)])
        packed += size
    if wrapper.activation_quantizer is not None:
        packed += 4 * math.prod(wrapper.activation_quantizer.granularity.scale_shape)
    return as_floats, packed


def variable_bytes(variable: keras.Variable) -> int:
    """Bytes of a variable at the width of its dtype."""
    digits = re.search(r"\d+", keras.backend.standardize_dtype(variable.dtype))
    bits = int(digits.group()) if digits else 8
    return math.prod(variable.shape) * bits // 8


def _matrix_bytes(variable: keras.Variable, quantizer: Quantizer) -> int:
    codes = packed_length(math.prod(variable.shape), quantizer.bits)
    return codes + 4 * math.prod(quantizer.granularity.scale_shape)
