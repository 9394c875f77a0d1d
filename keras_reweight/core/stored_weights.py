"""Weight files of Keras as named arrays, without a model: listed, read and rewritten.

Read are `.weights.h5`, `.keras` and `.safetensors`, told apart by their first bytes. Nothing of a
file is executed, and no class it names is looked for.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import pathlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from keras_reweight.core.files import write_atomically

_IN_ARCHIVE = "model.weights.h5"
#: An array larger than this must be on disk to a thousandth at least, or it is a trap.
_LARGE, _EXPANSION = 2**32, 1000


@dataclass(frozen=True)
class StoredWeight:
    """One array of a file.

    Attributes:
        key: Name in the file.
        owner: Names of the layers that hold it, outermost first, without the model; `()` for the
            model itself, `None` if the file does not say.
        number: Which variable of its owner it is, `None` if the file does not say.
        shape: Shape of the array.
        dtype: Name of its dtype.
    """

    key: str
    owner: tuple[str, ...] | None
    number: int | None
    shape: tuple[int, ...]
    dtype: str

    @property
    def label(self) -> str:
        """Something to print: the layers if they are known, else the key."""
        if self.owner is None or self.number is None:
            return self.key
        return "/".join([*self.owner, str(self.number)])

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class StoredWeights:
    """An open file; `weights` are those of the model, `others` those of its optimizer.

    Every defect is a `ValueError` that names the file. Close it, or use it in a `with` block.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)
        with contextlib.ExitStack() as stack:
            with _naming(self.path):
                self.kind, self._arrays = _open(self.path, stack)
                found = sorted(self._arrays.weights(), key=lambda weight: _natural(weight.key))
            self._close = stack.pop_all()
        self.weights = [weight for weight in found if not _of_optimizer(weight.key)]
        self.others = [weight for weight in found if _of_optimizer(weight.key)]

    def read(self, weight: StoredWeight) -> np.ndarray:
        """The array."""
        with _naming(self.path):
            return self._arrays.read(weight.key)

    def close(self) -> None:
        self._close.close()

    def __enter__(self) -> StoredWeights:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def rewritten(self, path: str | os.PathLike, changes: Mapping[str, np.ndarray]) -> None:
        """Write a copy with other values in the arrays `changes` names; all or nothing.

        All else stays as it is, the state of the optimizer and the configuration among it. The
        arrays must have the shapes and dtypes of those they replace. Closes this file.
        """
        known = {weight.key: weight for weight in (*self.weights, *self.others)}
        for key, array in changes.items():
            if key not in known:
                raise ValueError(f"`changes`: {str(self.path)!r} has no array {key!r}.")
            old = self.read(known[key])
            if (old.shape, old.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"`changes`: {key!r} is {old.dtype} of shape {old.shape}, got {array.dtype} of "
                    f"shape {array.shape}."
                )
        if self.kind == "safetensors":
            payload = self._arrays.replaced(changes)
            self.close()
            write_atomically(path, payload)
            return
        self.close()
        with _aside(pathlib.Path(path)) as aside:
            if self.kind == "weights.h5":
                shutil.copyfile(self.path, aside)
                _write_h5(aside, changes)
            else:
                _rewrite_archive(self.path, aside, changes)


def _open(path, stack):
    if not path.is_file():
        raise FileNotFoundError(f"No file {str(path)!r}.")
    with open(path, "rb") as file:
        begin = file.read(8)
    if begin.startswith(b"\x89HDF"):
        return "weights.h5", stack.enter_context(_H5(path))
    if begin.startswith(b"PK"):
        archive = stack.enter_context(zipfile.ZipFile(path))
        if _IN_ARCHIVE not in archive.namelist():
            raise ValueError(f"it is a zip file without {_IN_ARCHIVE!r}, so no .keras file")
        return "keras", stack.enter_context(_H5(io.BytesIO(archive.read(_IN_ARCHIVE))))
    return "safetensors", stack.enter_context(_Safetensors(path))


class _H5:
    """The groups of an HDF5 file as Keras writes it."""

    def __init__(self, source):
        import h5py

        self._h5py = h5py
        self._file = h5py.File(source, "r")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def weights(self):
        return list(self._below(self._file, "", ()))

    def _below(self, group, prefix, owner):
        for key in group:
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                raise ValueError(f"{prefix}{key} is a link to another place")
        for key, child in group.items():
            if not isinstance(child, self._h5py.Group):
                number = int(key) if key.isdigit() and prefix.endswith("vars/") else None
                shape, dtype = tuple(child.shape), str(_dtype(child))
                yield StoredWeight(f"{prefix}{key}", owner, number, shape, dtype)
            elif key == "vars":
                yield from self._below(child, f"{prefix}vars/", owner)
            else:
                yield from self._below(child, f"{prefix}{key}/", self._owner(child, owner))

    def _owner(self, group, owner):
        """The layers of a group: one more where it is a layer, which says its name."""
        own = group.get("vars")
        if owner is None or not isinstance(own, self._h5py.Group):
            return owner
        name = own.attrs.get("name")
        return None if name is None else (*owner, str(name))

    def read(self, key):
        dataset = self._file[key]
        if dataset.external or dataset.is_virtual:
            raise ValueError(f"{key} has its values in other files")
        size = math.prod(dataset.shape) * dataset.dtype.itemsize
        if size > _LARGE and size > _EXPANSION * dataset.id.get_storage_size():
            raise ValueError(f"{key} would take {size} bytes and is not there")
        return np.array(dataset[()]).view(_dtype(dataset)).reshape(dataset.shape)


class _Safetensors:
    """A safetensors file; names are those of the file."""

    def __init__(self, path):
        try:
            self._file = safetensors.safe_open(path, framework="np")
        except safetensors.SafetensorError as error:
            raise ValueError(f"it is no HDF5, .keras or safetensors file ({error})") from error

    def __enter__(self):
        self._file.__enter__()
        return self

    def __exit__(self, *error):
        self._file.__exit__(*error)

    def weights(self):
        found = []
        for key in self._file.keys():
            part = self._file.get_slice(key)
            dtype = _DTYPES.get(part.get_dtype(), part.get_dtype())
            found.append(StoredWeight(key, None, None, tuple(part.get_shape()), dtype))
        return found

    def read(self, key):
        return self._file.get_tensor(key)

    def replaced(self, changes):
        arrays = {key: changes.get(key, self._file.get_tensor(key)) for key in self._file.keys()}
        # safetensors writes garbage for arrays that are not C-contiguous.
        arrays = {key: np.asarray(array, order="C") for key, array in arrays.items()}
        return safetensors.numpy.save(arrays, metadata=self._file.metadata())


_DTYPES = {
    "BF16": "bfloat16", "BOOL": "bool", "F16": "float16", "F32": "float32", "F64": "float64",
    "I16": "int16", "I32": "int32", "I64": "int64", "I8": "int8",
    "U16": "uint16", "U32": "uint32", "U64": "uint64", "U8": "uint8",
}  # fmt: skip


def _dtype(dataset):
    # HDF5 has no bfloat16: Keras stores the bits and says so.
    return np.dtype(dataset.attrs.get("dtype", dataset.dtype))


def _of_optimizer(key):
    return key.startswith("optimizer/")


def _natural(key):
    """Sorts `dense_10` behind `dense_2`."""
    # Text and numbers take turns, so that numbers only meet numbers.
    parts = re.split(r"(\d+)", key)
    return [int(part) if i % 2 else part for i, part in enumerate(parts)]


def _write_h5(target, changes):
    import h5py

    with h5py.File(target, "r+") as file:
        for key, array in changes.items():
            dataset = file[key]
            dataset[()] = np.asarray(array, order="C").view(dataset.dtype)


def _rewrite_archive(source, target, changes):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename == _IN_ARCHIVE:
                weights = io.BytesIO(content)
                _write_h5(weights, changes)
                content = weights.getvalue()
            new.writestr(item, content)


@contextlib.contextmanager
def _aside(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A new file to write, renamed to `path` at the end, or removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
        aside = pathlib.Path(directory) / path.name
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)


@contextlib.contextmanager
def _naming(path):
    """Make every defect a `ValueError` that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{str(path)!r} is not a readable weight file: {error}.") from error
