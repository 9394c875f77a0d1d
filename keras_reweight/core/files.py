"""Writing arrays so that no file is ever half-written and no loaded file runs code."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import tempfile
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy


def write_atomically(path: str | os.PathLike, payload: bytes) -> None:
    """Write aside, flush to disk, then rename over `path`."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            # `mkstemp` makes files that only their owner can read.
            os.chmod(aside, 0o666 & ~_umask())
            file.write(payload)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        pathlib.Path(aside).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def digest(arrays: dict[str, np.ndarray], header: dict[str, Any] | None = None) -> str:
    """SHA-256 over a JSON header and names, dtypes, shapes and bytes, in any order of the dicts."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def save_arrays(
    path: str | os.PathLike, arrays: dict[str, np.ndarray], *, kind: str, header: dict[str, Any]
) -> None:
    """Save arrays and a JSON header as one reproducible safetensors file, atomically."""
    # safetensors writes garbage for arrays that are not C-contiguous (and `np.ascontiguousarray`
    # would turn scalars into vectors).
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {**header, "kind": kind}
    text = json.dumps({**header, "sha256": digest(arrays, header)}, sort_keys=True)
    # More than one metadata key is stored in random order.
    write_atomically(path, safetensors.numpy.save(arrays, metadata={"header": text}))


def load_arrays(path: str | os.PathLike, *, kind: str) -> tuple[dict[str, np.ndarray], dict]:
    """Load what `save_arrays` wrote; every defect is a `ValueError` naming the file."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}.")
    try:
        with safetensors.safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, ValueError, TypeError, OSError) as error:
        raise ValueError(f"{str(path)!r} is not a readable safetensors file: {error}") from error
    try:
        header = json.loads(metadata["header"])
    except (KeyError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(f"{str(path)!r} has no valid JSON header: {error!r}") from error
    if not isinstance(header, dict) or header.get("kind") != kind:
        found = header.get("kind") if isinstance(header, dict) else header
        raise ValueError(f"{str(path)!r} is of kind {found!r}, expected {kind!r}.")
    if header.pop("sha256", None) != digest(arrays, header):
        raise ValueError(f"{str(path)!r} was changed or damaged: its checksum does not match.")
    return arrays, header
