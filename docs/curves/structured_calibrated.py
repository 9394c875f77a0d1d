"""How far the outputs of a network move when units go, with and without compensation."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture
from keras_compress.structured.compensation import METHODS, rebuild_compensated

_UNITS, _SHARES = 48, (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75)


def _outputs(model, x):
    """Logits of a network of two dense layers."""
    w, b, v, c = (np.asarray(value, "float64") for value in model.get_weights())
    return np.maximum(x @ w + b, 0.0) @ v + c


def _errors():
    """Random units of a random network; its inputs hardly leave a subspace."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(600, 6)) @ rng.normal(size=(6, 24)) + 0.3).astype("float32")
    hidden = keras.layers.Dense(_UNITS, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((24,)), hidden, keras.layers.Dense(4, name="out")])
    model.set_weights([rng.normal(size=v.shape) / v.shape[0] ** 0.5 for v in model.get_weights()])
    fitted, fresh = x[:400], x[400:]
    statistics = kc.calibration.collect_input_statistics(
        model, fitted, layers="out", moments=["mean", "gram"]
    )
    graph = kc.structured.ChannelGraph(model)
    before, order = _outputs(model, fresh), rng.permutation(_UNITS)
    curves = {}
    for method in (None, *METHODS):
        errors = []
        for share in _SHARES:
            keep = {"hidden": np.isin(np.arange(_UNITS), order[round(share * _UNITS) :])}
            small = rebuild_compensated(graph, keep, method, statistics=statistics)
            errors.append(np.mean(np.square(_outputs(small, fresh) - before)) / before.var())
        curves["nothing" if method is None else method] = (np.array(_SHARES), np.array(errors))
    return curves


PICTURES = {
    "compensation": Picture("share of units dropped", "error of the outputs / variance", _errors)
}
