"""Reading a quantized model with codes at their real bit width."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_compress.quantization.bit_packing import packed_length, unpack_codes
from keras_compress.quantization.packed_format import KIND, VERSION
from keras_reweight.core.files import load_arrays


def load_packed(
    path: str | os.PathLike, *, custom_objects: dict[str, Any] | None = None
) -> keras.Model:
    """Load the plain Keras model of a file written by `save_packed`.

    Use it to deploy: the result consists of plain Keras layers with float weights, bit for bit
    those of `freeze`. The configuration is read in Keras' safe mode, so a file cannot bring code
    along; every field is checked before a model is made.

    Args:
        path: File to read.
        custom_objects: Dict from names to custom classes or functions of the model that are not
            registered with Keras. Defaults to `None`.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If `custom_objects` is no dict.
        ValueError: If the file is damaged, of another kind or version, or inconsistent.

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
    ```

    Reference:
        None; container format safetensors.
    """
    if not (custom_objects is None or isinstance(custom_objects, Mapping)):
        raise TypeError(f"`custom_objects` must be a dict or None, got {custom_objects!r}.")
    arrays, header = load_arrays(path, kind=KIND)
    try:
        return _restore(arrays, header, custom_objects)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not a valid packed model: {error}") from error


def _restore(arrays, header, custom_objects):
    if header.get("version") != VERSION:
        raise ValueError(f"version {header.get('version')!r} is unknown, this is {VERSION}.")
    entries = header.get("weights")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("`weights` is not a list of records.")
    left = set(arrays)
    values = [_decode(index, entry, arrays, left) for index, entry in enumerate(entries)]
    if left:
        raise ValueError(f"arrays {sorted(left)} belong to no weight.")
    try:
        model = keras.saving.deserialize_keras_object(
            header.get("model"), custom_objects=custom_objects, safe_mode=True
        )
    except Exception as error:  # a wrong configuration fails inside Keras in many ways
        raise ValueError(f"`model` cannot be restored: {error}") from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` describes a {type(model).__name__}, not a keras.Model.")
    if len(model.weights) != len(entries):
        raise ValueError(f"{len(entries)} weights for a model that has {len(model.weights)}.")
    for variable, entry, value in zip(model.weights, entries, values, strict=True):
        found = (tuple(entry["shape"]), entry.get("dtype"))
        wanted = (tuple(variable.shape), keras.backend.standardize_dtype(variable.dtype))
        if found != wanted:
            raise ValueError(f"weight {variable.path!r} is {wanted}, the file has {found}.")
        variable.assign(value)
    return model


def _decode(index, entry, arrays, left):
    """The values of one weight as a NumPy array, all fields of its record checked."""
    shape = entry.get("shape")
    if not isinstance(shape, list) or not all(_is_count(size) for size in shape):
        raise ValueError(f"weight {index}: shape {shape!r} is no list of sizes.")

    def take(part):
        name = f"{index}.{part}"
        if name not in arrays:
            raise ValueError(f"weight {index}: array {name!r} is missing.")
        left.discard(name)
        return arrays[name]

    codec = entry.get("codec")
    if codec == "raw":
        values = take("values")
        dtype = "float32" if entry.get("dtype") == "bfloat16" else entry.get("dtype")
        if list(values.shape) != shape or values.dtype.name != dtype:
            raise ValueError(
                f"weight {index}: values are {values.dtype} of shape {values.shape}, the record "
                f"says {entry.get('dtype')!r} of shape {shape}."
            )
        return values
    if codec != "affine":
        raise ValueError(f"weight {index}: codec {codec!r} is unknown.")
    bits, zero_point = entry.get("bits"), entry.get("zero_point")
    if not _is_count(bits) or not 2 <= bits <= 8:
        raise ValueError(f"weight {index}: bits must be an integer from 2 to 8, got {bits!r}.")
    if not isinstance(zero_point, numbers.Real) or not 0 <= zero_point <= 2**bits:
        raise ValueError(f"weight {index}: zero point {zero_point!r} is outside the codes.")
    packed, scale = take("codes"), take("scale")
    count = math.prod(shape)
    if packed.dtype != np.uint8 or packed.shape != (packed_length(count, bits),):
        raise ValueError(
            f"weight {index}: {packed.dtype} codes of shape {packed.shape} do not hold {count} "
            f"values of {bits} bits."
        )
    fits = not scale.shape or (
        len(scale.shape) == len(shape)
        and all(one in (1, size) for one, size in zip(scale.shape, shape, strict=True))
    )
    if scale.dtype not in (np.float32, np.float64) or not fits or not np.all(np.isfinite(scale)):
        raise ValueError(
            f"weight {index}: scale ({scale.dtype}, shape {scale.shape}) does not fit {shape} or "
            "is not finite."
        )
    codes = unpack_codes(packed, bits, count).reshape(shape).astype(scale.dtype)
    return (codes - scale.dtype.type(zero_point)) * scale


def _is_count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
