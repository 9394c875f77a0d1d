"""The file format "kr-signature/1": one safetensors file, sealed and fully checked when read.

The only metadata key, `kr_signature`, holds JSON in canonical form (sorted keys, no spaces, ASCII):

- `format`: `"kr-signature/1"`; `kind`, `name`: strings; `coefficient`: number the changes are
  multiplied by; `sources`: string to SHA-256 of the touched weights of the models compared;
- `model`: `[path, shape, dtype]` of every weight of the model, in the order of `model.weights`;
- `entries`: the changed weights in ascending order: `{index, codec, axis}`;
- `sha256`: over this JSON without `sha256`, then name, dtype, shape and bytes of every tensor.

Tensors are named `<index>.<part>`, parts as in `codecs.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from keras_reweight.core.files import write_atomically
from keras_reweight.signatures import codecs
from keras_reweight.signatures.architecture import Architecture, WeightSpec
from keras_reweight.signatures.live_weights import bytes_of

FORMAT = "kr-signature/1"

_KEY = "kr_signature"
_FIELDS = {"format", "kind", "name", "coefficient", "sources", "model", "entries", "sha256"}
_DTYPES = frozenset({"F64", "F32", "F16", "I8", "U8"})
_MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class Content:
    """What a file holds."""

    kind: str
    name: str
    coefficient: float
    sources: Mapping[str, str]
    architecture: Architecture
    entries: Mapping[int, codecs.Encoded]


def write(path: str | os.PathLike, content: Content) -> None:
    """Write the file atomically; the same content gives the same bytes."""
    write_atomically(path, to_bytes(content))


def read(path: str | os.PathLike) -> Content:
    """Read and check a file; `ValueError` names the file and the defect."""
    data = pathlib.Path(path).read_bytes()
    try:
        return from_bytes(data)
    except (ValueError, RecursionError) as defect:
        raise ValueError(f"{str(path)!r} is not a valid signature file: {defect}.") from defect


def digest(content: Content) -> str:
    """The seal of the file this content would make."""
    return _seal(*_describe(content))


def to_bytes(content: Content) -> bytes:
    header, tensors = _describe(content)
    sealed = _canonical({**header, "sha256": _seal(header, tensors)})
    # One metadata key: safetensors stores several in random order.
    return safetensors.numpy.save(tensors, metadata={_KEY: sealed})


def from_bytes(data: bytes) -> Content:
    table = _table(data)
    header = _header(table.pop("__metadata__", None))
    tensors = _tensors(data, table)
    seal = header.pop("sha256")
    if _seal(header, tensors) != seal:
        raise ValueError("its checksum does not match: it was changed or damaged")
    architecture = _architecture(header["model"])
    return Content(
        kind=header["kind"],
        name=header["name"],
        coefficient=header["coefficient"],
        sources=header["sources"],
        architecture=architecture,
        entries=_entries(header["entries"], architecture, tensors),
    )


def _describe(content):
    header = {
        "format": FORMAT,
        "kind": content.kind,
        "name": content.name,
        "coefficient": float(content.coefficient),
        "sources": dict(content.sources),
        "model": [[spec.path, list(spec.shape), spec.dtype] for spec in content.architecture],
        "entries": [
            {"index": index, "codec": encoded.codec, "axis": encoded.axis}
            for index, encoded in sorted(content.entries.items())
        ],
    }
    tensors = {
        _tensor_name(index, part): array
        for index, encoded in content.entries.items()
        for part, array in encoded.parts.items()
    }
    return header, tensors


def _tensor_name(index, part):
    return f"{index:04d}.{part}"


def _canonical(header):
    return json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _seal(header, tensors):
    total = hashlib.sha256(_canonical(header).encode())
    for name in sorted(tensors):
        array = tensors[name]
        total.update(f"|{name}|{array.dtype}|{array.shape}|".encode())
        total.update(bytes_of(array).data)
    return total.hexdigest()


def _parse_json(text, what):
    def no_duplicates(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError(f"{what} names a key twice")
        return dict(pairs)

    def no_constants(text):
        raise ValueError(f"{what} holds {text}")

    try:
        return json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constants)
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is not valid JSON ({error})") from error


def _table(data):
    """The safetensors header."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAX_HEADER):
        if data.startswith((b"PK", b"\x80")):
            raise ValueError("it is a zip or pickle file; only safetensors files are read")
        raise ValueError(f"it is truncated or no safetensors file ({len(data)} bytes)")
    try:
        text = data[8 : 8 + length].decode()
    except UnicodeDecodeError as error:
        raise ValueError("its safetensors header is not UTF-8 text") from error
    table = _parse_json(text, "its safetensors header")
    if not isinstance(table, dict) or not text.rstrip(" ").endswith("}"):
        raise ValueError("its safetensors header is not an object")
    return table


def _header(metadata):
    """Our JSON, every field checked for its type."""
    if not isinstance(metadata, dict) or set(metadata) != {_KEY}:
        found = sorted(metadata) if isinstance(metadata, dict) else metadata
        raise ValueError(f"it needs the single metadata key {_KEY!r}, found {found}")
    text = metadata[_KEY]
    if not isinstance(text, str):
        raise ValueError(f"its metadata {_KEY!r} is not a string")
    header = _parse_json(text, "its header")
    version = header.get("format") if isinstance(header, dict) else None
    if version != FORMAT:
        raise ValueError(f"its format is {version!r}; this version reads {FORMAT!r}")
    if set(header) != _FIELDS:
        raise ValueError(f"its header needs the fields {sorted(_FIELDS)}, found {sorted(header)}")
    if text != _canonical(header):
        raise ValueError("its header is not in canonical form: it was changed after it was written")
    for field in ("kind", "name", "sha256"):
        if not isinstance(header[field], str) or not header[field]:
            raise ValueError(f"header field {field!r} is not a string with content")
    coefficient = header["coefficient"]
    if not isinstance(coefficient, float) or not math.isfinite(coefficient):
        raise ValueError(f"header field 'coefficient' is no finite number: {coefficient!r}")
    sources = header["sources"]
    if not isinstance(sources, dict) or not all(isinstance(v, str) for v in sources.values()):
        raise ValueError("header field 'sources' is not an object of strings")
    return header


def _architecture(model: Any) -> Architecture:
    if not isinstance(model, list):
        raise ValueError("header field 'model' is not a list")
    for item in model:
        valid = (
            isinstance(item, list)
            and len(item) == 3
            and isinstance(item[0], str)
            and isinstance(item[1], list)
            and all(type(size) is int and size >= 0 for size in item[1])
            and isinstance(item[2], str)
        )
        if not valid:
            raise ValueError(f"header field 'model' needs [path, shape, dtype], found {item!r}")
    return Architecture(
        tuple(WeightSpec(path, tuple(shape), dtype) for path, shape, dtype in model)
    )


def _tensors(data, table):
    for name, entry in table.items():
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        if dtype not in _DTYPES:
            raise ValueError(f"tensor {name!r} has dtype {dtype!r}; known are {sorted(_DTYPES)}")
    try:
        # Checks that offsets, shapes and dtypes cover the bytes of the file exactly.
        return safetensors.numpy.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"it is damaged or truncated ({error})") from error


def _entries(listed, architecture, tensors):
    if not isinstance(listed, list) or not listed:
        raise ValueError("header field 'entries' is not a list with content")
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        prefix, _, part = name.partition(".")
        parts.setdefault(prefix, {})[part] = tensor
    entries: dict[int, codecs.Encoded] = {}
    for item in listed:
        if not isinstance(item, dict) or set(item) != {"index", "codec", "axis"}:
            raise ValueError(f"an entry needs index, codec and axis, found {item!r}")
        index = item["index"]
        if type(index) is not int or not 0 <= index < len(architecture):
            raise ValueError(f"entry index {index!r} is not one of {len(architecture)} weights")
        if index <= max(entries, default=-1):
            raise ValueError(f"entry indices are not ascending at {index}")
        if not architecture[index].is_float:
            raise ValueError(f"entry {index} changes a weight of dtype {architecture[index].dtype}")
        found = parts.pop(_tensor_name(index, "")[:-1], {})
        try:
            entries[index] = codecs.from_parts(
                item["codec"], architecture[index].shape, item["axis"], found
            )
        except ValueError as error:
            raise ValueError(f"entry {index}: {error}") from error
    if parts:
        raise ValueError(f"it holds tensors that belong to no entry: {sorted(parts)}")
    return entries
