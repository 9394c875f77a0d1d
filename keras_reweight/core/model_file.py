"""A model in one safetensors file: its configuration, and its weights in any encoding.

The header holds the configuration and a record of every weight; a codec says what a record means
and which arrays belong to it. Nothing is written into a model before all of the file is checked.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.variable_bits import (
    assign_bits,
    native_array,
    native_dtype,
    read_bits,
    values_dtype,
)

Write = Callable[[keras.Variable], None]


class WeightArrays:
    """The arrays of one weight in a file that is read: each is there and taken once."""

    def __init__(self, index: int, arrays: dict[str, np.ndarray], left: set[str]):
        self.index = index
        self._arrays, self._left = arrays, left

    def take(self, part: str) -> np.ndarray:
        name = f"{self.index}.{part}"
        if name not in self._arrays:
            raise ValueError(f"array {name!r} is missing.")
        self._left.discard(name)
        return self._arrays[name]


def weight_record(variable: keras.Variable) -> dict[str, Any]:
    """What every codec needs to know."""
    return {
        "name": variable.path,
        "shape": list(variable.shape),
        "dtype": values_dtype(variable),
    }


def num_values(record: dict[str, Any]) -> int:
    """Values of the weight of a record, as a Python integer of any size."""
    return math.prod(record["shape"])


def plain_array(variable: keras.Variable) -> np.ndarray:
    """The one array of a weight that is stored as it is."""
    return native_array(read_bits(variable), values_dtype(variable))


def read_plain(record: dict[str, Any], arrays: WeightArrays) -> Write:
    """Check what `plain_array` made; the result writes it into a variable."""
    values = arrays.take("values")
    check_array(values, record["dtype"], tuple(record["shape"]), "values")
    return lambda variable: assign_bits(variable, values.view(f"u{values.itemsize}"))


def check_array(array: np.ndarray, dtype: str, shape: tuple[int, ...], part: str) -> None:
    """Raise unless an array has the dtype (as a file has it) and shape its record promises."""
    if array.dtype != native_dtype(dtype) or array.shape != shape:
        raise ValueError(
            f"{part} are {array.dtype} of shape {array.shape}, the record says {dtype!r} of shape "
            f"{shape}."
        )


def describe_model(model: keras.Model) -> dict[str, Any]:
    """Configuration of a model, without what `compile` was given."""
    return _without_compilation(keras.saving.serialize_keras_object(model))


def save_model_file(
    path: str | os.PathLike,
    description: dict[str, Any] | None,
    records: list[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    *,
    kind: str,
    version: int,
) -> None:
    """Write `describe_model`, records and arrays, these named `"{index of the record}.{part}"`."""
    header = {"version": version, "model": description, "weights": records}
    save_arrays(path, arrays, kind=kind, header=header)


def load_model_file(
    path: str | os.PathLike,
    codecs: Mapping[str, Callable[[dict[str, Any], WeightArrays], Write]],
    *,
    kind: str,
    version: int,
    model: keras.Model | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> keras.Model:
    """Read what `save_model_file` wrote, into `model` or into a new one.

    Args:
        path: File to read.
        codecs: Name to a function that checks a record and its arrays, without allocating what
            the record promises, and returns the function that writes the variable.
        kind: What the file must be, as in `save_model_file`.
        version: The only version that is read.
        model: Model to fill; `None` makes the one the file describes.
        custom_objects: Names to classes and functions that are not registered with Keras.

    Every defect is a `ValueError` that names the file.
    """
    if not (custom_objects is None or isinstance(custom_objects, Mapping)):
        raise TypeError(f"`custom_objects` must be a dict or None, got {custom_objects!r}.")
    arrays, header = load_arrays(path, kind=kind)
    try:
        if header.get("version") != version:
            raise ValueError(f"version {header.get('version')!r} is unknown, this is {version}.")
        records = header.get("weights")
        if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
            raise ValueError("`weights` is not a list of records.")
        left = set(arrays)
        writers = [
            _check_record(codecs, record, WeightArrays(index, arrays, left))
            for index, record in enumerate(records)
        ]
        if left:
            raise ValueError(f"arrays {sorted(left)} belong to no weight.")
        if model is None:
            model = _new_model(header.get("model"), custom_objects)
        _check_weights(model, records)
    except ValueError as error:
        raise ValueError(f"{str(path)!r} cannot be loaded: {error}") from error
    for variable, write in zip(model.weights, writers, strict=True):
        write(variable)
    return model


def is_count(value: Any) -> bool:
    """Whether a number from a file is an integer that can be a size."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _check_record(codecs, record, arrays):
    try:
        shape, dtype, codec = (record.get(key) for key in ("shape", "dtype", "codec"))
        if not isinstance(shape, list) or not all(is_count(size) for size in shape):
            raise ValueError(f"shape {shape!r} is no list of sizes.")
        if not isinstance(dtype, str) or not _is_dtype(dtype):
            raise ValueError(f"dtype {dtype!r} is unknown.")
        if not isinstance(codec, str) or codec not in codecs:
            raise ValueError(f"codec {codec!r} is unknown.")
        return codecs[codec](record, arrays)
    except ValueError as error:
        raise ValueError(f"weight {arrays.index}: {error}") from error


def _is_dtype(name):
    try:
        return keras.backend.standardize_dtype(name) == name and np.dtype(name).itemsize > 0
    except (TypeError, ValueError):
        return False


def _new_model(description, custom_objects):
    if description is None:
        raise ValueError("it holds weights without an architecture: they need a model to fill.")
    try:
        model = keras.saving.deserialize_keras_object(
            description, custom_objects=custom_objects, safe_mode=True
        )
    except Exception as error:  # a wrong configuration fails inside Keras in many ways
        raise ValueError(f"`model` cannot be restored: {error}") from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` describes a {type(model).__name__}, not a keras.Model.")
    return model


def _check_weights(model, records):
    if len(model.weights) != len(records):
        raise ValueError(f"{len(records)} weights for a model that has {len(model.weights)}.")
    for variable, record in zip(model.weights, records, strict=True):
        found = (tuple(record["shape"]), record["dtype"])
        wanted = (tuple(variable.shape), values_dtype(variable))
        if found != wanted:
            raise ValueError(f"weight {variable.path!r} is {wanted}, the file has {found}.")


def _without_compilation(config):
    if isinstance(config, dict):
        named = "class_name" in config
        return {
            key: _without_compilation(value)
            for key, value in config.items()
            if not (named and key == "compile_config")
        }
    if isinstance(config, list):
        return [_without_compilation(value) for value in config]
    return config
