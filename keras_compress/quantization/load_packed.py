"""Reading a quantized model with codes at their real bit width."""

from __future__ import annotations

import functools
import os
from typing import Any

import keras

from keras_compress.grids.quantized_matrix import QuantizedMatrix
from keras_compress.quantization.packed_format import (
    KIND,
    VERSIONS,
    unpack_affine,
    unpack_matrix,
)
from keras_compress.quantization.quantized_model import ActivationRange, QuantizedModel
from keras_reweight.core.model_file import Codecs, ModelFile, check_custom_objects, read_plain
from keras_reweight.core.selection import layers_by_path
from keras_reweight.core.validation import check_built, check_choice


def load_packed(
    path: str | os.PathLike,
    *,
    as_: str = "float",
    model: keras.Model | None = None,
    custom_objects: dict[str, Any] | None = None,
) -> keras.Model | QuantizedModel:
    """Load the model of a file written by `save_packed`.

    Use it to deploy: the result consists of plain Keras layers with float weights, bit for bit
    those of `freeze`. With `as_="quantized"` the codes, scales and ranges of activations come
    along, for `kc.export` in another process or on another backend. No calibration data are needed.
    The configuration is read in Keras' safe mode, so a file cannot bring code along; every field
    is checked before a model is made.

    Args:
        path: File to read.
        as_: `"float"` for a plain model, whose activations are not quantized, `"quantized"` for a
            `QuantizedModel`. Defaults to `"float"`.
        model: A built `keras.Model` to fill, of weights with the same shapes and dtypes in the same
            order; for files without architecture. Defaults to `None`: a new model from the
            configuration in the file.
        custom_objects: Dict from names to custom classes or functions of the model that are not
            registered with Keras. Defaults to `None`.

    Returns:
        A `keras.Model`, not compiled, or a `QuantizedModel` of one.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `custom_objects` is no dict or `model` no `keras.Model`.
        ValueError: If the file is damaged, of another kind or version, or inconsistent, or does not
            fit `model`.

    Example:

    ```python
    import os
    import tempfile
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    kc.quantization.save_packed(kc.quantize_aware(model, weights=2), path)
    plain = kc.quantization.load_packed(path)
    stored = kc.quantization.load_packed(path, as_="quantized")
    assert [matrix.bits for matrix in stored.matrices.values()] == [2]
    ```

    Reference:
        None; container format safetensors.
    """
    check_choice("as_", as_, ["float", "quantized"])
    check_custom_objects(custom_objects)
    if model is not None:
        check_built(model, "load_packed")
    matrices: dict[int, QuantizedMatrix] = {}
    codecs: Codecs = {
        "raw": read_plain,
        "affine": functools.partial(_read, unpack_affine, matrices),
        "matrix": functools.partial(_read, unpack_matrix, matrices),
    }
    file = ModelFile(path, codecs, kind=KIND, versions=VERSIONS)
    with file.naming_errors():
        ranges = _read_ranges(file.header.get("ranges", {}))
        if model is None:
            model = file.new_model(custom_objects)
        unknown = sorted(set(ranges) - {"", *layers_by_path(model)})
        if unknown:
            raise ValueError(f"`ranges` are given for layers {unknown}, which the model lacks.")
        file.fill(model.weights)
    if as_ == "float":
        return model
    weights = model.weights
    by_path = {weights[index].path: matrix for index, matrix in matrices.items()}
    return QuantizedModel(model, by_path, ranges)


def _read(unpack, matrices, record, arrays):
    matrix = unpack(record, arrays)
    matrices[arrays.index] = matrix
    # Decoded only now: the values of all matrices at once take as much memory as the float model.
    return lambda variable: variable.assign(matrix.values())


def _read_ranges(records):
    if not isinstance(records, dict):
        raise ValueError(f"`ranges` {records!r} are no dict.")
    ranges = {}
    for path, fields in records.items():
        try:
            ranges[path] = ActivationRange(**fields)
        except (TypeError, ValueError) as error:
            raise ValueError(f"`ranges` of layer {path!r}: {error}") from error
    return ranges
