"""Weights of models and snapshots that are to be compared with those of a model."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.core.validation import check_built
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_weights
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def check_source(
    model: keras.Model, source: keras.Model | WeightSnapshot, caller: str, argument: str
) -> None:
    """Raise unless `source` is a model or snapshot with the weights of `model`."""
    if isinstance(source, WeightSnapshot):
        architecture = source.architecture
    else:
        check_built(source, caller, argument)
        architecture = Architecture.of(source)
    ours = [(spec.shape, spec.dtype) for spec in Architecture.of(model)]
    theirs = [(spec.shape, spec.dtype) for spec in architecture]
    if ours != theirs:
        raise ValueError(
            f"{caller}: `{argument}` must have the weights of {model.name!r}, of shapes and dtypes "
            f"{ours}, got {theirs}."
        )


def read_source(
    source: keras.Model | WeightSnapshot, indices: Sequence[int]
) -> dict[int, np.ndarray]:
    """Float64 arrays by position in `weights`."""
    if isinstance(source, WeightSnapshot):
        arrays = {index: source.arrays[index] for index in indices}
    else:
        arrays = read_weights(source, indices)
    return {index: array.astype("float64") for index, array in arrays.items()}
