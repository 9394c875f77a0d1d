"""From codes of our own to the quantized layers that Keras has itself."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_compress._copy_model import copy_model
from keras_compress.export.integer_form import IntegerForm, integer_form, outside_the_grid
from keras_compress.export.keras_conversion import ConvertedLayer, KerasConversion
from keras_compress.export.static_quantizer import StaticQuantizer
from keras_compress.grids.matrix_layout import to_kernel
from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.quantization.quantized_form import as_quantized_model
from keras_compress.quantization.quantized_model import ActivationRange, QuantizedModel
from keras_reweight.core.keras_quantized import (
    make_int4,
    make_int8,
    quantizable_variable,
    quantized_values,
    reduced_axes,
)
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_boolean, check_choice

#: Relative difference up to which values are those of the codes: Keras divides by reciprocals.
_TOLERANCE = 1e-6


def to_keras_layers(
    model: keras.Model | QuantizedModel, *, activations: str = "static", copy: bool = True
) -> KerasConversion:
    """Replace quantized layers by Keras' own int8 and int4 layers with the same values.

    Use it to deploy with plain Keras: the file of the result is small, loads without this package
    (except for static activation ranges) and keeps its codes in memory. Keras has such layers for
    `Dense`, `EinsumDense`, those inside `MultiHeadAttention`, and `Embedding`. Codes of at most 4
    bits become `int4/-1` (symmetric, one scale per output) or `int4/<group>` (groups and zero
    points), others `int8` (one scale per output). Where Keras' layer could not have the same values
    to 1e-6 of the largest, and for all other layers, the weights stay float on their grid, and the
    report says why. Save models with attention by `save_quantized`: Keras 3.15 cannot load its own
    files of these.

    Keras' int8 layers compute nothing faster on a CPU; for speed there are `export_onnx` and
    `export_litert`.

    Args:
        model: Quantization-aware `keras.Model` or `QuantizedModel`.
        activations: What int8 layers do with their inputs: `"static"` to use the ranges of the
            model where they fit Keras' scheme (8 bits, zero at code 0), float elsewhere; `"float"`
            for weights only; `"dynamic"` for Keras' default, which measures each input and
            computes something slightly different. Defaults to `"static"`.
        copy: Boolean, `False` to convert the model of a `QuantizedModel` itself, which cannot be
            undone; for models that cannot be copied from their configuration. Defaults to `True`.

    Returns:
        A `KerasConversion`: `model`, and `layers` with what became of every quantized variable.

    Raises:
        TypeError: If `model` is neither a `keras.Model` nor a `QuantizedModel`.
        ValueError: If `freeze` would refuse the model, or it cannot be copied.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    converted = kc.export.to_keras_layers(kc.quantize_aware(model, weights=8))
    assert converted.model.layers[0].quantization_mode == "int8"
    print(converted)
    ```

    Reference:
        None; Keras 3.15 `Layer.quantize`.

    Cost:
        One copy of the model.
    """
    check_choice("activations", activations, ["static", "float", "dynamic"])
    check_boolean("copy", copy)
    quantized = as_quantized_model(model, "to_keras_layers")
    # A quantization-aware model was copied already.
    copied = quantized is model and copy
    plain = copy_model(quantized.model, "to_keras_layers") if copied else quantized.model
    # What holds a layer comes before it, so the last layer with a variable is its owner.
    owners = {
        id(variable): (path, layer)
        for path, layer in layers_by_path(plain).items()
        for variable in layer.weights
    }
    rows = []
    names = [variable.path for variable in quantized.model.weights]
    for name, variable in list(zip(names, plain.weights, strict=True)):
        if name in quantized.matrices:
            path, layer = owners[id(variable)]
            range_ = quantized.ranges.get(path)
            rows.append(
                _convert(path, layer, variable, quantized.matrices[name], range_, activations)
            )
    return KerasConversion(plain, tuple(rows))


def _convert(path, layer, variable, matrix, range_, activations) -> ConvertedLayer:
    def left_float(reason):
        return ConvertedLayer(path, variable.name, None, "float", 0.0, reason)

    found = quantizable_variable(layer)
    if found is None or found is not variable:
        return left_float(f"Keras has no quantized {type(layer).__name__}")
    if variable.dtype != "float32":
        return left_float(f"Keras keeps the scales of a {variable.dtype} layer in {variable.dtype}")
    form = outside_the_grid(matrix) or integer_form(matrix)
    if isinstance(form, str):
        return left_float(form)
    plan = _four_bits(layer, matrix, form) or _eight_bits(layer, matrix, form)
    if plan is None:
        return left_float("Keras' int8 has one scale for each output, int4 takes no such codes")
    expected = matrix.values()
    largest = max(float(np.abs(expected).max()), 1e-30)
    inputs, reason = "float", ""
    if len(plan) == 2:
        inputs, reason, quantizer = _inputs(layer, range_, activations)
        codes, scale = plan
        make_int8(layer, codes, scale, quantizer)
        difference = np.abs(quantized_values(layer) - expected).max()
    else:
        if range_ is not None:
            reason = "Keras' int4 computes with float inputs"
        make_int4(layer, *plan)
        values = quantized_values(layer)
        expected = _rows(expected, layer).reshape(values.shape)
        difference = np.abs(values - expected).max()
    difference = float(difference) / largest
    if difference > _TOLERANCE:
        raise RuntimeError(
            f"Layer {path!r}: Keras' {layer.dtype_policy.name} computes with values that are "
            f"{difference:.1e} from those of the codes; this version of Keras stores its layers in "
            "another way than is known here."
        )
    return ConvertedLayer(path, variable.name, layer.dtype_policy.name, inputs, difference, reason)


def _eight_bits(layer, matrix: QuantizedMatrix, form: IntegerForm):
    """Codes and scales of Keras' int8 layer, or `None`."""
    form = form.centered()
    if not form.fits(8):
        return None
    codes = to_kernel(form.codes, matrix.shape, matrix.channel_axes)
    scale = to_kernel(form.expanded(form.scale), matrix.shape, matrix.channel_axes)
    lowest, highest = (
        one(scale, axis=reduced_axes(layer), keepdims=True) for one in (np.min, np.max)
    )
    return (codes, lowest) if np.array_equal(lowest, highest) else None


def _four_bits(layer, matrix: QuantizedMatrix, form: IntegerForm):
    """Codes, scales, zero points and block size of Keras' int4 layer, or `None`."""
    axes = reduced_axes(layer)
    others = tuple(axis for axis in range(len(matrix.shape)) if axis not in axes)
    kernel = to_kernel(form.codes, matrix.shape, matrix.channel_axes)
    rows = int(np.prod([matrix.shape[axis] for axis in axes]))
    # Keras reshapes the kernel without moving axes, but for embeddings.
    if axes + others != tuple(range(kernel.ndim)) and not isinstance(layer, keras.layers.Embedding):
        return None
    flat = {
        name: _rows(to_kernel(array, matrix.shape, matrix.channel_axes), layer).reshape(rows, -1)
        for name, array in (
            ("codes", form.codes),
            ("scale", form.expanded(form.scale)),
            ("zero", form.expanded(form.zero_point)),
        )
    }
    centered = flat["codes"] - flat["zero"]
    constant = all(np.all(flat[name] == flat[name][:1]) for name in ("scale", "zero"))
    if constant and centered.size and -8 <= centered.min() <= centered.max() <= 7:
        return centered, flat["scale"][:1], None, None
    size = rows if constant else form.group[0]
    first = {name: array[::size] for name, array in flat.items()}
    for name in ("scale", "zero"):
        if not np.array_equal(np.repeat(first[name], size, axis=0)[:rows], flat[name]):
            return None
    # Unsigned codes of up to four bits, moved to those of a signed one.
    codes, zero = flat["codes"] - 8, first["zero"].astype("int32") - 8
    if codes.min() < -8 or codes.max() > 7 or zero.min() < -128 or zero.max() > 127:
        return None
    return codes, first["scale"], zero, size


def _rows(kernel, layer):
    """A variable with the axes that share a scale in front."""
    return kernel.T if isinstance(layer, keras.layers.Embedding) else kernel


def _inputs(layer, range_: ActivationRange | None, activations: str) -> tuple[str, str, Any]:
    if isinstance(layer, keras.layers.Embedding):
        return "float", "", None
    if activations == "dynamic":
        return "dynamic", "", keras.quantizers.AbsMaxQuantizer()
    if range_ is None:
        return "float", "", None
    if activations == "float":
        return "float", "its input is left float as asked", None
    low, high = range_.code_range
    if range_.zero_point != 0 or high > 127:
        reason = "its input has codes from 0 to 255 or a zero point; Keras' int8 has neither"
        return "float", reason, None
    return "static", "", StaticQuantizer(float(range_.scale), low=low, high=high)
