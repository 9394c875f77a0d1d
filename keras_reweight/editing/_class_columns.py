"""The columns of a classifier and the classes they belong to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_reweight.core.layer_calls import last_weighted_layer, one_layer
from keras_reweight.core.validation import check_integer
from keras_reweight.layers._reparametrized import ReparametrizedKernel
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.weight_selection import own_weights


def head_kernel(model: keras.Model, layer: Any) -> keras.Variable:
    """The kernel of a classifier layer; its last axis are the classes."""
    head = last_weighted_layer(model) if layer is None else one_layer(model, layer)
    kernels = [variable for variable in own_weights(head) if len(variable.shape) >= 2]
    if len(kernels) != 1:
        raise ValueError(
            f"`layer`={layer!r}: layer {head.name!r} has {len(kernels)} kernels, the classifier "
            "must have one, with a column for each class."
        )
    if isinstance(head, ReparametrizedKernel):
        raise ValueError(
            f"`layer`={layer!r}: layer {head.name!r} computes with a function of its kernel; use "
            "`keras_reweight.layers.fold_kernels` first."
        )
    return kernels[0]


def class_ids(old: Any, new: Any, count: int) -> tuple[list[int], list[int]]:
    """Old and new classes as lists; without `new` all that are not old."""
    first = _checked("old", old, count)
    if new is None:
        return first, [index for index in range(count) if index not in set(first)]
    second = _checked("new", new, count)
    if both := sorted(set(first) & set(second)):
        raise ValueError(f"`new`={new!r} and `old`={old!r} share the classes {both}.")
    return first, second


def column_norms(kernel: keras.Variable) -> np.ndarray:
    """Length of the weight vector of each class, in float64."""
    columns = read_variable(kernel).astype(np.float64).reshape(-1, kernel.shape[-1])
    return np.sqrt(np.sum(np.square(columns), axis=0))


def ratio_of(norms: np.ndarray, old: list[int], new: list[int]) -> float:
    """Mean norm of the old columns by that of the new ones; one where there is nothing to align."""
    if not old or not new:
        return 1.0
    size = float(np.mean(norms[new]))
    return float(np.mean(norms[old])) / size if size > 0.0 else 1.0


def check_ids(argument: str, values: Any) -> None:
    """Raise unless `values` are class ids, whatever their number."""
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        raise TypeError(
            f"`{argument}` must be a list or range of class ids, got {values!r} of type "
            f"{type(values).__name__}."
        )
    for value in values:
        check_integer(argument, value, minimum=0)


def _checked(argument, values, count):
    check_ids(argument, values)
    ids = [int(value) for value in values]
    if len(set(ids)) != len(ids):
        raise ValueError(f"`{argument}`={values!r} names a class twice.")
    if ids and max(ids) >= count:
        raise ValueError(f"`{argument}`={values!r}: the classifier has {count} classes.")
    return ids
