"""Statistics of batch normalization for weights that were changed without training."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.selection import leaf_layers


def batch_norm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch normalization layers of a model, nested models opened."""
    return [
        layer for layer in leaf_layers(model) if isinstance(layer, keras.layers.BatchNormalization)
    ]


def batch_norm_moments(
    model: keras.Model, layers: Sequence[keras.layers.Layer], batches: Iterable[Any]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and (biased) variance of all that goes into each layer, in float64.

    Batch normalization normalizes with the statistics of the batch, all else runs as in inference.
    Masked time steps do not count. The moving statistics change; the caller puts them back.

    Raises:
        ValueError: If a layer sees no samples.
    """
    moments = [PooledMoments() for _ in layers]
    with _observed(layers, moments):
        for batch in batches:
            model(batch, training=False)
    for layer, found in zip(layers, moments, strict=True):
        if not found.count:
            raise ValueError(
                f"`data`: layer {layer.path!r} saw no samples, so nothing to estimate."
            )
    return [(found.mean, found.squares / found.count) for found in moments]


class PooledMoments:
    """Count, mean and sum of squared deviations, pooled over batches (Chan et al. 1983)."""

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, rows):
        if not len(rows):
            return
        mean = rows.mean(axis=0)
        total = self.count + len(rows)
        away = mean - self.mean
        self.squares += ((rows - mean) ** 2).sum(axis=0)
        self.squares += away**2 * (self.count * len(rows) / total)
        self.mean = self.mean + away * (len(rows) / total)
        self.count = total


@contextlib.contextmanager
def _observed(layers, moments) -> Iterator[None]:
    """Let the layers run as in training and note what comes in."""
    try:
        for layer, found in zip(layers, moments, strict=True):
            layer.__dict__["call"] = _observing(layer.call, layer.axis, found)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("call", None)


def _observing(call, axis, found):
    def observing_call(inputs, training=None, mask=None):
        values = np.moveaxis(ops.convert_to_numpy(inputs).astype(np.float64), axis, -1)
        if mask is None:
            found.add(values.reshape(-1, values.shape[-1]))
        else:
            found.add(values[ops.convert_to_numpy(mask).astype(bool)])
        return call(inputs, training=True, mask=mask)

    return observing_call
