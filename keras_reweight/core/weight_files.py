"""Weights of a model in files: read one weight at a time, and written without the optimizer."""

from __future__ import annotations

import os
import pathlib
import tempfile
import zipfile
from typing import Any

import keras
import numpy as np
import safetensors
from keras.src.saving import saving_lib

SUFFIXES = (".weights.h5", ".keras", ".safetensors")


class WeightFile:
    """The weights of a file, as those of a model that is built already; nothing is written into it.

    Args:
        path: A `.weights.h5` file, a `.keras` file, or a safetensors file whose tensors are named
            by the paths of the weights.
        model: A built `keras.Model` of the same architecture; it says which weight is where.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind or architecture, or damaged; names the file.
    """

    def __init__(self, path: str | os.PathLike, model: keras.Model):
        self.path = str(path)
        if not self.path.endswith(SUFFIXES):
            raise ValueError(f"{self.path!r} is no weight file: its name must end in {SUFFIXES}.")
        if not pathlib.Path(path).is_file():
            raise FileNotFoundError(f"No file {self.path!r}.")
        self._weights = model.weights
        self._content: _Tensors | _KerasFile
        try:
            kind = _Tensors if self.path.endswith(".safetensors") else _KerasFile
            self._content = kind(self.path, model)
        except (OSError, zipfile.BadZipFile, safetensors.SafetensorError, KeyError) as error:
            raise ValueError(f"{self.path!r} is not a readable weight file: {error}") from error

    def check(self, indices: Any) -> None:
        """Raise unless the file has these weights, by position in `model.weights`."""
        for index in indices:
            variable = self._weights[index]
            try:
                found = self._content.shape(variable)
            except KeyError as error:
                raise ValueError(
                    f"{self.path!r} is of another architecture: it lacks weight {variable.path!r} "
                    f"({error})."
                ) from error
            if found != tuple(variable.shape):
                raise ValueError(
                    f"{self.path!r} is of another architecture: weight {variable.path!r} is "
                    f"{tuple(variable.shape)} in the model and {found} in the file."
                )

    def read(self, index: int) -> np.ndarray:
        """One weight, in the dtype of the file."""
        try:
            return self._content.read(self._weights[index])
        except (OSError, safetensors.SafetensorError, TypeError) as error:
            raise ValueError(f"{self.path!r} cannot be read: {error}") from error

    def close(self) -> None:
        self._content.close()


def save_weights_alone(model: keras.Model, path: str | os.PathLike) -> None:
    """Write a `.weights.h5` file without the state of the optimizer: aside, then renamed."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
        aside = pathlib.Path(directory) / "aside.weights.h5"
        saving_lib.save_weights_only(model, aside, objects_to_skip=_optimizers(model))
        os.replace(aside, path)


def weight_places(model: keras.Model) -> tuple[dict[int, tuple[str, str]], set[str]]:
    """Where a file of Keras has each variable (by id: group and key), and all that it has."""
    recorder = _Recorder()
    saving_lib._save_state(
        model,
        weights_store=recorder,
        assets_store=None,
        inner_path="",
        visited_saveables={id(optimizer) for optimizer in _optimizers(model)},
    )
    return recorder.places, recorder.names


class _Recorder(saving_lib.H5IOStore):
    """Is told where Keras would store each variable, and stores nothing."""

    def __init__(self):
        self.places: dict[int, tuple[str, str]] = {}
        self.names: set[str] = set()
        self._group = ""

    def __bool__(self):
        return True

    def make(self, path, metadata=None):
        self._group = path
        return self

    def __setitem__(self, key, value):
        self.names.add(_dataset((self._group, key)))
        # What a layer has converted before is no weight as it is.
        if isinstance(value, keras.Variable):
            self.places.setdefault(id(value), (self._group, key))


class _KerasFile:
    def __init__(self, path, model):
        self._places, self._names = weight_places(model)
        self._archive = zipfile.ZipFile(path) if path.endswith(".keras") else None
        try:
            name = path if self._archive is None else "model.weights.h5"
            self._store = saving_lib.H5IOStore(name, archive=self._archive, mode="r")
            self._refuse_others(path)
        except BaseException:
            self.close()
            raise

    def _refuse_others(self, path):
        """A deeper model has the same names for its first layers."""
        others: list[str] = []

        def note(name, item):
            is_array = hasattr(item, "shape")  # a group has none
            if is_array and f"layers/{name}" not in self._names:
                others.append(f"layers/{name}")

        if "layers" in self._store.h5_file:
            saving_lib.safe_get_h5_group(self._store.h5_file, "layers").visititems(note)
        if others:
            raise ValueError(
                f"{path!r} is of another architecture: the model has no weights for {others[:5]}."
            )

    def shape(self, variable):
        return tuple(
            saving_lib.safe_get_h5_dataset(
                self._store.h5_file, _dataset(self._place(variable))
            ).shape
        )

    def read(self, variable):
        group, key = self._place(variable)
        return self._store.get(group)[key]

    def _place(self, variable):
        if id(variable) not in self._places:
            raise KeyError("its layer stores it in a form of its own")
        return self._places[id(variable)]

    def close(self):
        if hasattr(self, "_store"):
            self._store.close()
        if self._archive is not None:
            self._archive.close()


class _Tensors:
    def __init__(self, path, model):
        self._file = safetensors.safe_open(path, framework="np")
        self._names = set(self._file.keys())
        self._prefix = f"{model.name}/"

    def shape(self, variable):
        return tuple(self._file.get_slice(self._name(variable)).get_shape())

    def read(self, variable):
        return self._file.get_tensor(self._name(variable))

    def _name(self, variable):
        # Sequential and subclassed models put their own name in front, functional models do not.
        for name in (variable.path, variable.path.removeprefix(self._prefix)):
            if name in self._names:
                return name
        raise KeyError(f"its tensors are {sorted(self._names)[:5]}")

    def close(self):
        del self._file


def _dataset(place):
    group, key = place
    return f"{group}/vars/{key}" if group else f"vars/{key}"


def _optimizers(model):
    optimizer = getattr(model, "optimizer", None)
    return [] if optimizer is None else [optimizer]
