"""Merging weight by weight: one loop for every method that needs no data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_reweight.core.validation import check_built
from keras_reweight.merging._sources import live_reader, opened
from keras_reweight.signatures import codecs
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_selection import select_weights

# Kernels of independently drawn networks have a cosine near zero, those of one start do not.
_SAME_START = 0.1


class Weight:
    """One weight of all models.

    Attributes:
        index: Position in `model.weights`.
        is_statistic: Whether it is a moving statistic of batch normalization.
        base: Float64 array, the weight of the model that is patched.
    """

    def __init__(self, index, is_statistic, base, readers, start=None):
        self.index = index
        self.is_statistic = is_statistic
        self.base = as_float64(base)
        self._readers = readers
        self._start = start

    def values(self) -> Iterator[np.ndarray]:
        """The float64 arrays of the merged models, one after another."""
        for place, read in enumerate(self._readers):
            value = as_float64(read(self.index))
            if self._start is not None and value.ndim > 1 and not self.is_statistic:
                self._start.add(place, value, self.base)
            yield value

    def offsets(self) -> list[np.ndarray]:
        """The arrays minus `base`."""
        return [value - self.base for value in self.values()]


def merge(
    model: keras.Model,
    items: Sequence[Any],
    combine: Callable[[Weight], np.ndarray],
    *,
    argument: str,
    name: str,
    kind: str,
    layers: Any,
    statistics: bool,
    minimum: int = 1,
    from_base: bool = True,
    patch_type: type[Patch] = Patch,
    codec: str = "float64",
) -> Any:
    """A patch that adds `combine(weight)` to every selected weight of `model`.

    `statistics` says whether moving statistics are merged; `from_base`, whether the merged models
    should descend from `model` or only from one another.
    """
    check_built(model, kind)
    selection = select_weights(model, layers, "statistics" if statistics else "affine")
    architecture = Architecture.of(model)
    read_base = live_reader(model)
    start = _CommonStart(from_base)
    entries: dict[int, codecs.Encoded] = {}
    with opened(model, items, selection.indices, argument=argument, minimum=minimum) as readers:
        for index in selection.indices:
            is_statistic = index in selection.statistics
            weight = Weight(index, is_statistic, read_base(index), readers, start)
            entries.update(encode_delta(architecture, index, combine(weight), codec))
    start.warn(argument)
    return patch_type(architecture, entries, name=name, kind=kind)


def encode_delta(
    architecture: Architecture, index: int, delta: np.ndarray, codec: str
) -> dict[int, codecs.Encoded]:
    """The entry of a patch; float64 weights keep their precision."""
    if architecture[index].dtype == "float64":
        codec = "float64"
    return codecs.encode_all(architecture, [(index, delta)], codec=codec)


def as_float64(array: np.ndarray) -> np.ndarray:
    """A new float64 array."""
    return np.asarray(array).astype(np.float64)


class _CommonStart:
    """Watches whether kernels point in one direction, as they do after one common start."""

    def __init__(self, from_base: bool):
        self._from_base = from_base
        self._first: np.ndarray | None = None
        self._sums: dict[int, np.ndarray] = {}

    def add(self, place, value, base):
        if place == 0:
            self._first = value
        other = base if self._from_base else self._first
        if other is not None:
            sums = [np.vdot(value, other), np.vdot(value, value), np.vdot(other, other)]
            self._sums[place] = self._sums.get(place, 0.0) + np.array(sums)

    def warn(self, argument):
        cosines = {
            place: dot / np.sqrt(own * other)
            for place, (dot, own, other) in self._sums.items()
            if own > 0 and other > 0
        }
        strangers = {place: round(c, 3) for place, c in cosines.items() if c < _SAME_START}
        if strangers:
            start = "`model`" if self._from_base else f"`{argument}`[0]"
            warnings.warn(
                f"The kernels of `{argument}` {sorted(strangers)} have nothing in common with "
                f"those of {start} (cosines {strangers}): networks that do not come from one start "
                "lie in different basins, and merging them gives a bad one.",
                stacklevel=4,
            )
