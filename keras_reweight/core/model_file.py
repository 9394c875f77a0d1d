"""A model in one safetensors file: its configuration, and its weights in any encoding.

The header holds the configuration and a record of every weight; a codec says what a record means
and which arrays belong to it. Nothing is written into a model before all of the file is checked.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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

#: What the text of a compressed header may grow to; configurations take some kilobytes a layer.
MAX_HEADER_BYTES = 2**28

Write = Callable[[keras.Variable], None]
Codecs = Mapping[str, Callable[[dict[str, Any], "WeightArrays"], Write]]


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


def describe_model(model: keras.Model, caller: str) -> dict[str, Any]:
    """Configuration of a model, without what `compile` was given."""
    try:
        return _without_compilation(keras.saving.serialize_keras_object(model))
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ValueError(
            f"{caller}: model {model.name!r} ({type(model).__name__}) cannot be described by "
            "its configuration. Define `get_config`, or pass `architecture=False` and load the "
            "weights into a model made by code."
        ) from error


def save_model_file(
    path: str | os.PathLike,
    description: dict[str, Any] | None,
    records: list[dict[str, Any]],
    arrays: dict[str, np.ndarray],
    *,
    kind: str,
    version: int,
    extra: Mapping[str, Any] | None = None,
    compress: bool = False,
) -> None:
    """Write `describe_model`, records and arrays, these named `"{index of the record}.{part}"`.

    `extra` are more entries of the header; `compress` is for files in which a configuration of some
    kilobytes a layer would count.
    """
    header = {**(extra or {}), "model": description, "weights": records}
    if compress:
        text = json.dumps(header, sort_keys=True).encode()
        header = {"zlib": base64.b64encode(zlib.compress(text, 9)).decode()}
    save_arrays(path, arrays, kind=kind, header={**header, "version": version})


def expanded_header(header: dict[str, Any]) -> dict[str, Any]:
    """The header of a file as `save_model_file` got it, compressed or not."""
    if "zlib" not in header:
        return header
    try:
        expand = zlib.decompressobj()
        text = expand.decompress(base64.b64decode(header["zlib"], validate=True), MAX_HEADER_BYTES)
        content = json.loads(text) if expand.eof else None
    except (binascii.Error, RecursionError, TypeError, ValueError, zlib.error) as error:
        raise ValueError(f"its compressed header cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("its compressed header holds no JSON object, or is too long.")
    kept = {key: value for key, value in header.items() if key != "zlib"}
    return {**content, **kept}


class ModelFile:
    """The contents of a file, every record checked against its arrays; nothing is written yet.

    Args:
        path: File to read.
        codecs: Name to a function that checks a record and its arrays, without allocating what
            the record promises, and returns the function that writes the variable.
        kind: What the file must be, as in `save_model_file`.
        versions: The versions that are read.

    Every defect is a `ValueError` that names the file.
    """

    def __init__(
        self, path: str | os.PathLike, codecs: Codecs, *, kind: str, versions: tuple[int, ...]
    ):
        self.path = path
        arrays, header = load_arrays(path, kind=kind)
        with self.naming_errors():
            self.header = expanded_header(header)
            version = self.header.get("version")
            if isinstance(version, bool) or version not in versions:
                raise ValueError(f"version {version!r} is unknown, this is {max(versions)}.")
            records = self.header.get("weights")
            if not isinstance(records, list) or not all(isinstance(one, dict) for one in records):
                raise ValueError("`weights` is not a list of records.")
            self.records: list[dict[str, Any]] = records
            left = set(arrays)
            self.writers = [
                _check_record(codecs, record, WeightArrays(index, arrays, left))
                for index, record in enumerate(records)
            ]
            if left:
                raise ValueError(f"arrays {sorted(left)} belong to no weight.")

    @contextmanager
    def naming_errors(self) -> Iterator[None]:
        """Add the name of the file to a `ValueError`."""
        try:
            yield
        except ValueError as error:
            raise ValueError(f"{str(self.path)!r} cannot be loaded: {error}") from error

    def new_model(self, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
        """The model the file describes, not yet filled."""
        return _new_model(self.header.get("model"), custom_objects)

    def fill(self, variables: list[keras.Variable]) -> None:
        """Write the weights into variables that have the shapes and dtypes of the records."""
        _check_weights(variables, self.records)
        for variable, write in zip(variables, self.writers, strict=True):
            write(variable)


def load_model_file(
    path: str | os.PathLike,
    codecs: Codecs,
    *,
    kind: str,
    version: int,
    model: keras.Model | None = None,
    custom_objects: Mapping[str, Any] | None = None,
) -> keras.Model:
    """Read what `save_model_file` wrote, into `model` or, for `None`, into a new one.

    The other arguments are those of `ModelFile`; `custom_objects` are names to classes and
    functions that are not registered with Keras.
    """
    check_custom_objects(custom_objects)
    file = ModelFile(path, codecs, kind=kind, versions=(version,))
    with file.naming_errors():
        if model is None:
            model = file.new_model(custom_objects)
        file.fill(model.weights)
    return model


def check_custom_objects(custom_objects: Any) -> None:
    """Raise unless a `custom_objects` argument is a dict or `None`."""
    if not (custom_objects is None or isinstance(custom_objects, Mapping)):
        raise TypeError(f"`custom_objects` must be a dict or None, got {custom_objects!r}.")


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


def _check_weights(variables, records):
    if len(variables) != len(records):
        raise ValueError(f"{len(records)} weights for a model that has {len(variables)}.")
    for variable, record in zip(variables, records, strict=True):
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
