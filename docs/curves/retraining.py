"""What is left of the error of pruning after refitting."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_SPARSITIES = np.array([0.3, 0.5, 0.7, 0.9])


def _layer(kernel):
    layer = keras.layers.Dense(16, use_bias=False, kernel_initializer="zeros", name="layer")
    model = keras.Sequential([keras.Input((24,)), layer])
    layer.kernel.assign(kernel)
    return model


def _refit():
    """One layer with correlated inputs, of which 256 are known."""
    rng = np.random.default_rng(0)
    mixing = np.eye(24) + 0.5 * rng.normal(size=(24, 24))
    x = (rng.normal(size=(256, 24)) @ mixing).astype("float32")
    kernel = rng.normal(size=(24, 16)).astype("float32")
    dense = _layer(kernel)
    goal = x @ kernel
    curves = {"magnitude": [], "magnitude, least squares": [], "prune_reconstruct": []}
    for sparsity in _SPARSITIES:
        model = _layer(kernel)
        kc.prune_magnitude(model, float(sparsity))
        errors = kc.retraining.reconstruct(model, dense, x, batch_size=256)
        curves["magnitude"].append(errors.before["layer"])
        curves["magnitude, least squares"].append(errors.after["layer"])
        swept = _layer(kernel)
        kc.retraining.prune_reconstruct(swept, x, float(sparsity), batch_size=256)
        outputs = x @ keras.ops.convert_to_numpy(swept.layers[0].kernel)
        curves["prune_reconstruct"].append(np.sum((outputs - goal) ** 2) / np.sum(goal**2))
    return {label: (_SPARSITIES, np.array(values)) for label, values in curves.items()}


PICTURES = {"refit": Picture("sparsity", "relative error of the outputs", _refit)}
