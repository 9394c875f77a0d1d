"""From a quantization-aware model to the codes its weights are stored by."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress.quantization.freeze import freeze_model
from keras_compress.quantization.quantized_model import ActivationRange, QuantizedModel
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_choice


def quantized_form(model: keras.Model, *, activations: str = "keep") -> QuantizedModel:
    """The plain model of a quantization-aware one, with the codes and scales of its weights.

    Use it after quantization-aware training, before an export: files, Keras' own quantized layers
    and runtimes are written from codes, not from floats. The model in the result is that of
    `freeze`; the ranges of quantized inputs stand beside it, as plain layers have no place for
    them. The given model is left untouched.

    Args:
        model: Quantization-aware `keras.Model`, from `quantize_aware` or with `QuantizeAware`
            layers.
        activations: `"keep"` for the ranges of quantized inputs (those of `QuantizeActivation`
            layers are in `report["outputs"]`, by the names of these layers; so is that of the
            product of a `ReparametrizedAttention`, as `"name/product"`), `"drop"` to leave them
            out, `"error"` to refuse a model that has some. Defaults to `"keep"`.

    Returns:
        A `QuantizedModel`.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If `freeze` would refuse the model, or inputs are quantized with several scales.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    stored = kc.quantization.quantized_form(kc.quantize_aware(model, weights=3))
    (matrix,) = stored.matrices.values()
    assert matrix.codes.shape == (8, 4) and matrix.bits == 3
    ```

    Reference:
        None; the counterpart of `quantize_aware` for files and runtimes.

    Cost:
        One copy of the model and of its codes.
    """
    return _quantized_form(model, "quantized_form", activations)


def as_quantized_model(model: Any, caller: str, *, activations: str = "keep") -> QuantizedModel:
    """`model` if it is a `QuantizedModel`, else its `quantized_form`."""
    if not isinstance(model, QuantizedModel):
        return _quantized_form(model, caller, activations)
    if activations == "drop":
        return QuantizedModel(model.model, model.matrices, {}, model.report)
    return model


def _quantized_form(model, caller, activations):
    check_choice("activations", activations, ["keep", "drop", "error"])
    frozen = freeze_model(model, "error" if activations == "error" else "drop", caller=caller)
    paths = {id(layer): path for path, layer in layers_by_path(frozen.model).items()}
    stored = {one.variable.path: _stored(one, model.name, caller) for one in frozen.matrices}
    if activations != "keep":
        return QuantizedModel(frozen.model, stored)
    ranges = {paths[id(layer)]: activation_range(one) for layer, one in frozen.inputs}
    outputs = {name: activation_range(one) for name, one in frozen.outputs.items()}
    return QuantizedModel(frozen.model, stored, ranges, {"outputs": outputs} if outputs else None)


def _stored(matrix, name, caller):
    found = matrix.quantizer.stored(matrix.float_values, matrix.channel_axes)
    values = keras.ops.convert_to_numpy(keras.ops.cast(matrix.variable.value, "float32"))
    if not np.allclose(found.values(), values, rtol=2**-8, atol=0.0):
        raise ValueError(
            f"{caller}: weight {matrix.variable.path!r} of model {name!r} has values that are not "
            f"on the grid of its {type(matrix.quantizer).__name__}, such as zeros that "
            "`preserve='sparsity'` holds. Use a quantizer with a level at zero."
        )
    return found


def activation_range(quantizer: Quantizer) -> ActivationRange:
    """The grid of an activation quantizer that is built and has one scale."""
    if quantizer.scale_follows_values:
        raise ValueError(
            f"Quantizer {quantizer.name!r} ({type(quantizer).__name__}) takes its scale from the "
            "values of each batch; a stored range needs a constant one, such as that of "
            "LSQQuantizer or MovingAverageQuantizer."
        )
    shape = [1 if size is None else size for size in quantizer.granularity.scale_shape]
    zeros = np.zeros(shape or (1,), "float32")
    _, scale, zero_point = quantizer.codes(zeros)
    scale, zero_point = (
        np.asarray(keras.ops.convert_to_numpy(one), "float64") for one in (scale, zero_point)
    )
    if scale.size != 1 or zero_point.size != 1 or float(zero_point.item()) % 1:
        raise ValueError(
            f"Quantizer {quantizer.name!r} of activations has {scale.size} scales and the zero "
            f"point {zero_point.reshape(-1)[:3]}; a stored range has one scale and an integer."
        )
    low = quantizer.code_range[0]
    return ActivationRange(
        quantizer.bits, float(scale.item()), int(zero_point.item()), signed=low < 0
    )
