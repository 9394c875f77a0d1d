"""Reading and writing the weights of a live model, bit for bit and all or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.state import sync_model


def read_variable(variable: keras.Variable) -> np.ndarray:
    """A host copy that shares no memory with the backend."""
    array = np.asarray(ops.convert_to_numpy(variable.value))
    flags = array.flags
    if flags.owndata and flags.writeable and flags.c_contiguous:
        # Some backends have made the copy already.
        return array
    return np.array(array, order="C", copy=True)


def array_digest(array: np.ndarray) -> str:
    """SHA-256 of dtype, shape and bytes."""
    total = hashlib.sha256(f"{array.dtype}|{array.shape}|".encode())
    total.update(bytes_of(array).data)
    return total.hexdigest()


def bytes_of(array: np.ndarray) -> np.ndarray:
    """The bytes of an array in C order, without a copy where it is in that order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def variable_digest(variable: keras.Variable) -> str:
    """`array_digest` of what a variable holds now."""
    return array_digest(ops.convert_to_numpy(variable.value))


def read_weights(model: keras.Model, indices: Sequence[int] | None = None) -> dict[int, np.ndarray]:
    """Host copies by position in `model.weights`."""
    sync_model(model)
    weights = model.weights
    wanted = range(len(weights)) if indices is None else indices
    return {index: read_variable(weights[index]) for index in wanted}


def write_weights(model: keras.Model, arrays: Mapping[int, np.ndarray]) -> None:
    """Assign all arrays, or none: a failing write puts the earlier values back and raises."""
    sync_model(model)
    weights = model.weights
    assign_all([(weights[index], array) for index, array in arrays.items()])


def assign_all(pairs: Sequence[tuple[keras.Variable, np.ndarray]]) -> None:
    """Assign every array to its variable, or none."""
    previous: list[tuple[keras.Variable, np.ndarray]] = []
    try:
        for variable, array in pairs:
            previous.append((variable, read_variable(variable)))
            # A copy: a backend may keep the memory it is given, and the caller keeps the array.
            variable.assign(np.array(array, copy=True))
    except BaseException:
        for variable, array in reversed(previous):
            variable.assign(array)
        raise
