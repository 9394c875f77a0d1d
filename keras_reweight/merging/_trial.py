"""Averages of models tried out on a live model, which is put back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import keras
import numpy as np

from keras_reweight.core.batch_norm import batch_norm_layers
from keras_reweight.core.state import sync_model
from keras_reweight.merging._merge import as_float64, encode_delta
from keras_reweight.merging._sources import Reader
from keras_reweight.merging.soup import Soup
from keras_reweight.signatures import codecs
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_variable
from keras_reweight.signatures.reestimate_batch_norm import reestimate_batch_norm


class Trial:
    """Writes soups into a model, weight by weight, exactly as their patch will.

    Inside its `with` block it holds the original bytes of the selected weights. They are what
    changes are relative to; the soup itself is never in memory but in the model.

    Args:
        model: A built `keras.Model`.
        indices: Positions in `model.weights` of the weights to mix.
        batch_norm_data: Inputs to estimate moving statistics on, or `None`.
    """

    def __init__(self, model: keras.Model, indices: Sequence[int], batch_norm_data: Any = None):
        self.model = model
        self.indices = tuple(indices)
        self.architecture = Architecture.of(model)
        self._data = batch_norm_data
        self._original: dict[int, np.ndarray] = {}
        self._statistics: dict[int, codecs.Encoded] = {}

    def __enter__(self) -> Self:
        sync_model(self.model)
        touched = set(self.indices)
        if self._data is not None:
            touched.update(_moving_statistics(self.model))
        weights = self.model.weights
        self._original = {index: read_variable(weights[index]) for index in sorted(touched)}
        return self

    def __exit__(self, *error) -> None:
        sync_model(self.model)
        weights = self.model.weights
        for index in list(self._original):
            # One after another, so that the copy shrinks.
            weights[index].assign(self._original.pop(index))

    def base(self, index: int) -> np.ndarray:
        """The weight of the model as it was, or is again."""
        found = self._original.get(index)
        return read_variable(self.model.weights[index]) if found is None else found

    def write(self, index: int, mixed: np.ndarray) -> codecs.Encoded:
        """Give the model a weight, as the entry that is returned will.

        `mixed` is a float64 array that may be overwritten: of a large weight, every copy counts.
        """
        base = self.base(index)
        encoded = self._encoded(index, mixed, base)
        np.copyto(mixed, encoded.parts["d"])
        np.add(mixed, _native(base), out=mixed)
        self.model.weights[index].assign(mixed.astype(base.dtype))
        return encoded

    def estimate_statistics(self) -> None:
        """Moving statistics for the weights that the model has now."""
        if self._data is None:
            return
        patch = reestimate_batch_norm(self.model, self._data)
        now = {index: read_variable(self.model.weights[index]) for index in patch.indices}
        self._statistics = {
            index: self.write(index, as_float64(now[index]) + patch.delta(index))
            for index in patch.indices
        }

    def mean(self, readers: Sequence[Reader], index: int) -> np.ndarray:
        """Float64 mean of one weight."""
        total = as_float64(readers[0](index))
        for read in readers[1:]:
            np.add(total, _native(np.asarray(read(index))), out=total)
        total /= len(readers)
        return total

    def put_mean(self, readers: Sequence[Reader]) -> None:
        """Give the model the mean of these weights."""
        for index in self.indices:
            self.write(index, self.mean(readers, index))
        self.estimate_statistics()

    def entries_of_mean(self, readers: Sequence[Reader]) -> Iterator[tuple[int, codecs.Encoded]]:
        """What `put_mean` last wrote, as entries of a patch; the model need not hold it any more.

        The statistics are those that were estimated then.
        """
        for index in self.indices:
            if index not in self._statistics:
                yield index, self._encoded(index, self.mean(readers, index), self.base(index))
        yield from self._statistics.items()

    def _encoded(self, index, mixed, base):
        np.subtract(mixed, _native(base), out=mixed)
        return encode_delta(self.architecture, index, mixed, "float32")[index]

    def soup(self, entries: dict[int, codecs.Encoded], name: str, kind: str) -> Soup:
        return Soup(self.architecture, entries, name=name, kind=kind)


def _native(array):
    """In a type that NumPy computes with."""
    return array if array.dtype.isbuiltin == 1 else as_float64(array)


def check_statistics_data(model: keras.Model, data: Any) -> None:
    """Raise for `batch_norm_data` that cannot be read again and again, or serves nothing."""
    if data is None:
        return
    if hasattr(data, "__next__"):
        raise ValueError(
            f"`batch_norm_data` is read once for every soup, got an iterator {data!r}; pass "
            "arrays, a list of batches or a data set."
        )
    if not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise TypeError(f"`batch_norm_data` must be arrays or batches, got {data!r}.")
    if not batch_norm_layers(model):
        raise ValueError(
            f"`batch_norm_data` is given, but model {model.name!r} has no batch normalization; got "
            f"{type(data).__name__}."
        )


def _moving_statistics(model):
    chosen = {
        id(variable)
        for layer in batch_norm_layers(model)
        for variable in (layer.moving_mean, layer.moving_variance)
    }
    return [index for index, variable in enumerate(model.weights) if id(variable) in chosen]
