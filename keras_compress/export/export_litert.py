"""Quantized models for LiteRT, formerly TensorFlow Lite."""

from __future__ import annotations

import os
import pathlib
import tempfile

import keras
import numpy as np

from keras_compress.export import litert_layers
from keras_compress.export.integer_form import integer_form, outside_the_grid
from keras_compress.export.runtime_export import RuntimeExport
from keras_compress.quantization.quantized_form import as_quantized_model
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_reweight.core.files import write_atomically
from keras_reweight.core.litert_options import integer_optimizations
from keras_reweight.core.replaced_methods import on_first_input, replaced_methods
from keras_reweight.core.selection import layers_by_path


def export_litert(model: keras.Model | QuantizedModel, path: str | os.PathLike) -> RuntimeExport:
    """Write a LiteRT file whose layers compute in 8-bit integers.

    Use it to deploy on phones and microcontrollers, after quantization-aware training or
    calibration with 8-bit activations. Weights of `Dense`, `EinsumDense` (attention, too), `Conv2D`
    and `DepthwiseConv2D` become int8 with one scale per output, and inputs are rounded to the
    ranges of the model, so the runtime computes what the training has computed. Codes of fewer
    bits take 8 here, codes of -128 become -127, which the report counts. No calibration data are
    needed.

    The converter of TensorFlow computes a layer in integers where its result goes into another
    input that is rounded to 8 bits; the last layer, and those before a softmax or a normalization,
    compute in floats with the same weights and rounded inputs, and are stored as floats. So are
    all layers of a model with fewer bits for its inputs. Layers without a range of their input are
    left to the converter, which may round their weights to 8 bits of its own.

    Only on the TensorFlow backend. On others write `save_packed` and export
    `load_packed(path, as_="quantized")` in a process with `KERAS_BACKEND=tensorflow`.

    Args:
        model: Quantization-aware `keras.Model` or `QuantizedModel`, of dtype float32.
        path: File to write, ending with `.tflite`; its folder is made if it is missing.

    Returns:
        A `RuntimeExport`.

    Raises:
        TypeError: If `model` is neither a `keras.Model` nor a `QuantizedModel`.
        ValueError: If the backend is not TensorFlow, `path` does not end with `.tflite`, or
            `freeze` would refuse the model.

    Example:

    ```python
    import os
    import tempfile
    import keras
    import numpy as np
    import keras_compress as kc

    x = np.random.default_rng(0).normal(size=(16, 8)).astype("float32")
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    quantized = kc.quantize_aware(model, weights=8, activations=8, calibration_data=x)
    if keras.backend.backend() == "tensorflow":
        path = os.path.join(tempfile.mkdtemp(), "model.tflite")
        print(kc.export.export_litert(quantized, path))
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877.

    Cost:
        One conversion, some seconds.
    """
    path = pathlib.Path(path)
    if path.suffix != ".tflite":
        raise ValueError(f"`path` must end with '.tflite', got {str(path)!r}.")
    quantized = as_quantized_model(model, "export_litert")
    try:
        options = integer_optimizations()
    except ValueError as error:
        raise ValueError(
            f"export_litert: {error} Write `save_packed(model, path)` here and export "
            "`load_packed(path, as_='quantized')` in a process with KERAS_BACKEND=tensorflow."
        ) from error
    forms, inputs, left, changes = _changes(quantized)
    with tempfile.TemporaryDirectory() as folder, replaced_methods(changes):
        aside = os.path.join(folder, "model.tflite")
        quantized.model.export(aside, format="litert", verbose=False, **options)
        payload = pathlib.Path(aside).read_bytes()
    write_atomically(path, payload)
    weights = {}
    for name, form in forms.items():
        codes = form.centered().codes
        stored = np.maximum(codes, -litert_layers.HIGHEST).astype("int8")
        if np.ascontiguousarray(stored.T).tobytes() in payload:
            lost = int(np.count_nonzero(codes != stored))
            weights[name] = f"int8, {lost} codes of -128 are -127" if lost else "int8"
        else:
            left[name] = "stored as floats on its grid: its result is not rounded to 8 bits"
    return RuntimeExport(str(path), len(payload), weights, inputs, left)


def _changes(quantized):
    """Forms of weights, layers with rounded inputs, reasons, and methods to replace in tracing."""
    forms, inputs, changes = {}, [], []
    left = dict.fromkeys(quantized.matrices, "")
    layers = layers_by_path(quantized.model)
    for path, layer in layers.items():
        for variable in layer.weights:
            matrix = quantized.matrices.get(variable.path)
            if matrix is None or getattr(layer, "kernel", None) is not variable:
                if matrix is not None and not left[variable.path]:
                    left[variable.path] = f"there is no 8-bit form of {type(layer).__name__} here"
                continue
            form = outside_the_grid(matrix) or integer_form(matrix)
            reason = form if isinstance(form, str) else litert_layers.refusal(layer, matrix, form)
            if reason is None and path not in quantized.ranges:
                reason = "its input has no range"
            left[variable.path] = reason
            if reason is None:
                changes.append((layer, "call", _instead(layer, form)))
                forms[variable.path] = form
    for path, range_ in quantized.ranges.items():
        layer = layers.get(path)
        if layer is not None and hasattr(layer, "call"):
            changes.append((layer, "call", on_first_input(_rounding(range_))))
            inputs.append(path)
    return forms, tuple(inputs), {name: why for name, why in left.items() if why}, changes


def _instead(layer, form):
    return lambda call: litert_layers.call(layer, form)


def _rounding(range_):
    return lambda inputs: litert_layers.rounded_input(inputs, range_)
