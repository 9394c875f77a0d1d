"""Quantized models for ONNX Runtime and other runtimes that read ONNX."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import tempfile

import keras

from keras_compress.export.integer_form import integer_form, outside_the_grid
from keras_compress.export.onnx_file import (
    BY_AXIS,
    FOUR_BITS,
    import_onnx,
    read_graph,
    write_graph,
)
from keras_compress.export.onnx_inputs import quantize_inputs
from keras_compress.export.onnx_weights import find_layout, quantize_weight
from keras_compress.export.runtime_export import RuntimeExport
from keras_compress.quantization.quantized_form import as_quantized_model
from keras_compress.quantization.quantized_model import QuantizedModel
from keras_compress.quantization.supported import matrices
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_boolean

#: What Keras exports with, by backend.
_EXPORTERS = {"jax": "jax2onnx", "tensorflow": "tf2onnx", "torch": "torch"}


def export_onnx(
    model: keras.Model | QuantizedModel,
    path: str | os.PathLike,
    *,
    activations: bool = True,
    four_bits: bool = True,
) -> RuntimeExport:
    """Write an ONNX file in which weights are integers and inputs of layers are rounded.

    Use it to deploy on ONNX Runtime and its like. Keras exports the float model; in its graph every
    weight whose codes are integers times scales becomes an int8 (or int4) constant with
    `DequantizeLinear`, one scale per output, per group, or for all. With `activations`, the inputs
    of layers that have a range pass through `QuantizeLinear` and `DequantizeLinear`, so that the
    runtime can compute in int8 what the quantization-aware model has trained with. What cannot be
    said this way stays float on its grid, and the report says why.

    Weights alone make files small, not inference fast: by default ONNX Runtime makes them floats
    again in every inference, with the session option `session.disable_quant_qdq` = `"1"` once.

    The backends differ in what Keras 3.15 exports: TensorFlow (needs `tf2onnx`) everything; torch
    `Dense` and convolutional networks, no attention; JAX needs `jax2onnx`. Where the export fails,
    write `save_packed` here and export `load_packed(path, as_="quantized")` in a process on the
    TensorFlow backend.

    Args:
        model: Quantization-aware `keras.Model` or `QuantizedModel`, of dtype float32.
        path: File to write, by convention `.onnx`; its folder is made if it is missing.
        activations: Boolean, whether inputs with a range are rounded. Defaults to `True`.
        four_bits: Boolean, whether codes of up to 4 bits take 4 bits in the file, and groups of
            inputs scales of their own, which needs operators of version 21; weights whose inputs
            are rounded take 8. Defaults to `True`.

    Returns:
        A `RuntimeExport`.

    Raises:
        ImportError: If `onnx` or what Keras exports with is missing (extra `runtimes`).
        TypeError: If `model` is neither a `keras.Model` nor a `QuantizedModel`.
        ValueError: If `freeze` would refuse the model.

    Example:

    ```python
    import importlib.util
    import os
    import tempfile
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    quantized = kc.quantize_aware(model, weights=8)
    path = os.path.join(tempfile.mkdtemp(), "model.onnx")
    if keras.backend.backend() == "tensorflow" and importlib.util.find_spec("tf2onnx"):
        print(kc.export.export_onnx(quantized, path))
    ```

    Reference:
        ONNX operators `QuantizeLinear` and `DequantizeLinear`, versions 13 and 21.

    Cost:
        One float export, and comparisons of every constant with every weight of its size.
    """
    check_boolean("activations", activations)
    check_boolean("four_bits", four_bits)
    quantized = as_quantized_model(model, "export_onnx")
    import_onnx("export_onnx")
    exporter = _EXPORTERS.get(keras.backend.backend())
    if exporter is None or importlib.util.find_spec(exporter) is None:
        raise ImportError(
            f"export_onnx: Keras exports models of the {keras.backend.backend()} backend with "
            f"{exporter}, which is not installed. Or write `save_packed(model, path)` here and "
            "export `load_packed(path, as_='quantized')` in a process with "
            "KERAS_BACKEND=tensorflow and keras-reweight-compress[runtimes]."
        )
    path = pathlib.Path(path)
    ranges = quantized.ranges if activations else {}
    with tempfile.TemporaryDirectory() as folder:
        float_path = os.path.join(folder, "float.onnx")
        quantized.model.export(float_path, format="onnx", verbose=False)
        proto, graph = read_graph(float_path, FOUR_BITS if four_bits else BY_AXIS)
    names = _constants_of_weights(quantized, graph, ranges)
    weights: dict[str, str] = {}
    inputs: list[str] = []
    left: dict[str, str] = {}
    for layer_path, layer in layers_by_path(quantized.model).items():
        if layer_path in ranges:
            first = [matrix.variable.path for matrix in matrices(layer)][:1]
            done = [
                quantize_inputs(graph, constant, ranges[layer_path])
                for weight in first
                for constant, _ in names.get(weight, ())
            ]
            if any(done):
                inputs.append(layer_path)
            else:
                left[layer_path] = "no product of its weight was found in the exported graph"
    rounded = {
        matrix.variable.path
        for layer_path, layer in layers_by_path(quantized.model).items()
        if layer_path in inputs
        for matrix in matrices(layer)
    }
    for name, matrix in quantized.matrices.items():
        form = outside_the_grid(matrix) or integer_form(matrix)
        if isinstance(form, str):
            left[name] = form
        elif not names.get(name):
            left[name] = "no constant of the exported graph has its values"
        else:
            for constant, layout in names[name]:
                four = four_bits and name not in rounded
                kind = quantize_weight(graph, constant, layout, matrix, form, four_bits=four)
                (left if kind.startswith(" ") else weights)[name] = kind.strip()
    write_graph(proto, graph, path)
    return RuntimeExport(str(path), path.stat().st_size, weights, tuple(inputs), left)


def _constants_of_weights(quantized, graph, ranges):
    """Weight path to (name of a constant, how the weight lies in it)."""
    found: dict[str, list] = {}
    free = dict(graph.constants)
    axes = {
        matrix.variable.path: matrix.axis
        for layer_path, layer in layers_by_path(quantized.model).items()
        if layer_path in ranges
        for matrix in matrices(layer)
    }
    for variable in quantized.model.weights:
        matrix = quantized.matrices.get(variable.path)
        if matrix is None and variable.path not in axes:
            continue
        kernel = keras.ops.convert_to_numpy(variable.value)
        channels = () if matrix is None else matrix.channel_axes
        if matrix is None:
            # Only its inputs are rounded.
            channels = tuple(axis % kernel.ndim for axis in axes[variable.path] or ())
        for name in list(free):
            layout = find_layout(kernel, channels, free[name])
            if layout is not None:
                found.setdefault(variable.path, []).append((name, layout))
                del free[name]
    return found
