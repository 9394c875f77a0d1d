"""Arrays about single weights of a model, kept apart from it: checks and files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.signatures.architecture import Architecture, WeightSpec


def check_indices(argument: str, architecture: Any, arrays: Any) -> None:
    """Raise unless `arrays` is a dict from positions of floating-point weights to something."""
    if not isinstance(architecture, Architecture):
        raise TypeError(f"`architecture` must be an Architecture, got {architecture!r}.")
    if not isinstance(arrays, Mapping):
        raise TypeError(f"`{argument}` must be a dict, got {arrays!r}.")
    if not arrays:
        raise ValueError(f"`{argument}` is empty.")
    for index in arrays:
        if index not in range(len(architecture)) or not architecture[index].is_float:
            raise ValueError(f"`{argument}`: there is no floating-point weight {index!r}.")


def position_of(architecture: Architecture, known: Mapping[int, Any], weight: int | str) -> int:
    """The position of a weight that is given by its position or its path."""
    for index in known:
        if weight == (architecture[index].path if isinstance(weight, str) else index):
            return index
    paths = {index: architecture[index].path for index in known}
    raise ValueError(f"`weight`={weight!r} is none of {paths}.")


def save(
    path: str | os.PathLike,
    architecture: Architecture,
    arrays: Mapping[str, np.ndarray],
    *,
    kind: str,
    header: dict[str, Any],
) -> None:
    """One reproducible safetensors file, with the architecture in its header."""
    model = [[spec.path, list(spec.shape), spec.dtype] for spec in architecture]
    save_arrays(path, dict(arrays), kind=kind, header={**header, "model": model})


def load(
    path: str | os.PathLike, *, kind: str
) -> tuple[Architecture, dict[str, np.ndarray], dict[str, Any]]:
    """What `save` wrote; every defect is a `ValueError` that names the file."""
    arrays, header = load_arrays(path, kind=kind)
    specs = [WeightSpec(name, tuple(shape), dtype) for name, shape, dtype in header.pop("model")]
    return Architecture(tuple(specs)), arrays, header
