"""Zeros by layer, and errors on the way from one network to another."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_UNITS = (48, 32, 24, 16, 8)


def _network(units, seed):
    model = keras.Sequential([keras.Input((12,))])
    for count in units[:-1]:
        model.add(keras.layers.Dense(count, "relu", kernel_initializer="zeros"))
    model.add(keras.layers.Dense(units[-1], kernel_initializer="zeros"))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        # Larger weights in smaller layers, as initializers make them.
        scale = np.sqrt(2.0 / layer.kernel.shape[0])
        layer.kernel.assign(scale * rng.standard_t(5, size=layer.kernel.shape))
    return model


def _layers():
    numbers = np.arange(1, len(_UNITS) + 1)
    curves = {}
    for label, scope in (("ranked globally", "global"), ("the same share everywhere", "layer")):
        model = _network(_UNITS, 0)
        kc.prune_magnitude(model, 0.9, scope=scope)
        rows = kc.analysis.compression_report(model).layers
        curves[label] = (numbers, np.array([row.sparsity for row in rows]))
    return curves


def _path():
    """Labels are what the first network says."""
    x = np.random.default_rng(1).normal(size=(400, 12)).astype("float32")
    first = _network((32, 4), 0)
    y = first.predict(x, verbose=0).argmax(-1)
    kernel, bias, last, last_bias = first.get_weights()
    order = np.random.default_rng(2).permutation(32)
    noise = np.random.default_rng(3)
    others = {
        "nearby": [w + 0.05 * noise.normal(size=w.shape) for w in first.get_weights()],
        "units in another order": [kernel[:, order], bias[order], last[order], last_bias],
        "unrelated": _network((32, 4), 4).get_weights(),
    }
    curves = {}
    for label, weights in others.items():
        second = _network((32, 4), 0)
        second.set_weights(weights)
        found = kc.analysis.linear_mode_connectivity(first, second, (x, y), 21, batch_size=400)
        curves[label] = (found.positions, found.values)
    return curves


PICTURES = {
    "layers": Picture("layer", "share of zeros", _layers),
    "path": Picture("position between the networks", "classification error", _path),
}
