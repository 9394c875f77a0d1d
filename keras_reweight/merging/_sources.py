"""What can be merged: models, snapshots and files of weights, all read one weight at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built
from keras_reweight.core.weight_files import WeightFile
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.weight_snapshot import WeightSnapshot

#: From a position in `model.weights` to an array.
Reader = Callable[[int], np.ndarray]


@contextlib.contextmanager
def opened(
    model: keras.Model,
    items: Sequence[Any],
    indices: Sequence[int],
    *,
    argument: str,
    minimum: int = 1,
    base: Reader | None = None,
) -> Iterator[list[Reader]]:
    """A reader for each item, closed on exit; all of them are checked before anything is read.

    `base` reads the weights of `model` itself, should it be among the items.
    """
    if not isinstance(items, (list, tuple)):
        raise TypeError(
            f"`{argument}` must be a list of models, WeightSnapshots or files, got {items!r}."
        )
    if len(items) < minimum:
        raise ValueError(f"`{argument}` must hold at least {minimum}, got {len(items)}: {items!r}.")
    architecture = Architecture.of(model)
    with contextlib.ExitStack() as stack:
        readers = []
        for place, item in enumerate(items):
            what = f"`{argument}`[{place}]"
            readers.append(_reader(model, item, indices, what, architecture, stack, base))
        yield readers


def _reader(model, item, indices, what, architecture, stack, base):
    if item is model:
        return base if base is not None else live_reader(model)
    if isinstance(item, WeightSnapshot):
        architecture.check(item.architecture, what)
        return item.arrays.__getitem__
    if isinstance(item, keras.Model):
        check_built(item, "merging", what.strip("`"))
        architecture.check(Architecture.of(item), what)
        return live_reader(item)
    if isinstance(item, (str, os.PathLike)):
        file = WeightFile(item, model)
        stack.callback(file.close)
        file.check(indices)
        return file.read
    raise TypeError(f"{what} must be a model, a WeightSnapshot or a file, got {item!r}.")


def live_reader(model: keras.Model) -> Reader:
    """Reads the weights a model has now."""
    sync_model(model)
    weights = model.weights
    return lambda index: read_variable(weights[index])


def check_weights(weights: Any, items: Any) -> list[float]:
    """A `weights=` argument: one finite number for each of the models, ones for `None`.

    What is no list of models is left to `opened`, which says so.
    """
    count = len(items) if isinstance(items, (list, tuple)) else 0
    if weights is None or not count:
        return [1.0] * count
    if not isinstance(weights, (list, tuple, np.ndarray)):
        raise TypeError(f"`weights` must be a list of numbers, got {weights!r}.")
    if len(weights) != count:
        raise ValueError(f"`weights` must hold {count} numbers, one a model, got {weights!r}.")
    try:
        found = [float(weight) for weight in weights]
    except (TypeError, ValueError) as error:
        raise TypeError(f"`weights` must hold numbers, got {weights!r}.") from error
    if not np.isfinite(found).all():
        raise ValueError(f"`weights` must be finite, got {weights!r}.")
    return found
