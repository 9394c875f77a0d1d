"""What is quantized in a model, what is not, and why."""

from __future__ import annotations

import keras

from keras_compress.quantization.size import layer_bytes, packed_size, wrapped_layers
from keras_compress.quantization.summary import QuantizationSummary, QuantizedLayer
from keras_compress.quantization.supported import refusal
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.selection import all_layers, layers_by_path
from keras_reweight.core.validation import check_built


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
        quantizer = wrapper.activation_quantizer
        rows.append(
            QuantizedLayer(
                path=path,
                kind=type(wrapper.layer).__name__,
                weight_bits={
                    name: one.bits for name, (_, one) in wrapper.quantized_matrices().items()
                },
                activation_bits=None if quantizer is None else quantizer.bits,
                float_bytes=as_floats,
                packed_bytes=packed,
            )
        )
    total = packed_size(model)
    return QuantizationSummary(rows, _skipped(model), total + saved, total)


def _skipped(model):
    """Path -> reason for the layers outside of quantized ones; nested models are opened."""
    reasons = {}
    around = ()
    for path, layer in layers_by_path(model).items():
        if path.startswith(around) or isinstance(layer, (keras.Model, keras.layers.InputLayer)):
            continue
        if any(isinstance(inner, QuantizeAware) for inner in all_layers(layer)):
            continue
        # What is inside of a layer goes with the layer.
        around = (*around, path + "/")
        if not isinstance(layer, QuantizeAware):
            reasons[path] = refusal(layer) or "left float: not selected"
    return reasons
