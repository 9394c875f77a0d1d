"""What is quantized in a model, what is not, and why."""

from __future__ import annotations

import keras

from keras_compress._rebuild import is_open
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantization.size import (
    attention_bytes,
    layer_bytes,
    output_bytes,
    output_layers,
    packed_size,
    quantized_attentions,
    wrapped_layers,
)
from keras_compress.quantization.summary import QuantizationSummary, QuantizedLayer
from keras_compress.quantization.supported import parts, refusal
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.selection import all_layers, layers_by_path
from keras_reweight.core.validation import check_built

_NOT_SELECTED = "left float: not selected"


def quantization_summary(model: keras.Model) -> QuantizationSummary:
    """Report which layers of a model are quantized, with how many bits, and which are not and why.

    Use it after `quantize_aware` to see that everything you expect was taken, and for the sizes.

    Args:
        model: Built `keras.Model`, quantization-aware or plain.

    Returns:
        A `QuantizationSummary`.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If `model` is not built.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    print(kc.quantization.quantization_summary(kc.quantize_aware(model, weights=3)))
    ```

    Reference:
        None; a report.
    """
    check_built(model, "quantization_summary")
    rows = []
    saved = 0
    for path, wrapper in wrapped_layers(model).items():
        as_floats, packed = layer_bytes(wrapper)
        saved += as_floats - packed
        rows.append(
            QuantizedLayer(
                path=path,
                kind=type(wrapper.layer).__name__,
                weight_bits={
                    name: one.bits for name, (_, one) in wrapper.quantized_matrices().items()
                },
                activation_bits=_activation_bits(wrapper),
                float_bytes=as_floats,
                packed_bytes=packed,
            )
        )
    for path, layer in quantized_attentions(model).items():
        as_floats, packed = attention_bytes(layer)
        saved += as_floats - packed
        bits = {name: one.bits for name, (_, one) in layer.quantized_matrices().items()}
        inputs = None if layer.activation is None else layer.activation.bits
        rows.append(QuantizedLayer(path, type(layer).__name__, bits, inputs, as_floats, packed))
    for path, layer in output_layers(model).items():
        if layer.activation_quantizer is not None:
            size = output_bytes(layer)
            saved -= size
            inputs = layer.activation_quantizer.bits
            rows.append(QuantizedLayer(path, type(layer).__name__, {}, inputs, 0, size))
    total = packed_size(model)
    return QuantizationSummary(rows, _skipped(model), total + saved, total)


def _activation_bits(wrapper):
    bits = {name: one.bits for name, one in wrapper.input_quantizers.items()}
    if len(set(bits.values())) <= 1:
        return next(iter(bits.values()), None)
    return bits


def _skipped(model):
    """Path -> reason for what is not quantized; nested models are opened."""
    reasons: dict[str, str] = {}
    attentions = set(quantized_attentions(model))
    around: tuple[str, ...] = ()
    for path, layer in layers_by_path(model).items():
        opened = isinstance(layer, keras.Model) and is_open(layer)
        if path.startswith(around) or opened or isinstance(layer, keras.layers.InputLayer):
            continue
        if isinstance(layer, QuantizeAware):
            reasons |= _skipped_inside(path, layer)
        elif any(isinstance(inner, QuantizeAware) for inner in all_layers(layer)):
            continue
        # What is inside of a layer goes with the layer.
        around = (*around, path + "/")
        if not isinstance(layer, (QuantizeAware, QuantizeActivation)) and path not in attentions:
            reasons[path] = refusal(layer) or _NOT_SELECTED
    return reasons


def _skipped_inside(path, wrapper):
    """What a quantized layer computes with floats."""
    found = parts(wrapper.layer)
    reasons = {
        f"{path}/{matrix.name}": _NOT_SELECTED
        for part in found
        for matrix in part.matrices
        if matrix.name not in wrapper.weight_quantizers
    }
    taken = {id(variable) for part in found for variable in part.layer.weights}
    for inner_path, inner in layers_by_path(wrapper.layer).items():
        own = {id(one) for one in inner.weights if len(one.shape) >= 2} - taken
        if not all_layers(inner) and own and (reason := refusal(inner)):
            reasons[f"{path}/{inner_path}"] = reason
    return reasons
