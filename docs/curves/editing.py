"""What dampening multiplies weights with, and how few directions carry most of the curvature."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture
from keras_reweight.signatures.architecture import Architecture

_RATIOS = np.geomspace(1.0, 1000.0, 301)
_SIZE = 48


def _model(rows, columns):
    layer = keras.layers.Dense(columns, use_bias=False, kernel_initializer="ones")
    return keras.Sequential([keras.Input((rows,)), layer])


def _dampened():
    model = _model(len(_RATIOS), 1)
    architecture = Architecture.of(model)
    forget, full = (
        kr.editing.WeightImportance(architecture, {0: values.reshape(-1, 1)}, kind="batch")
        for values in (_RATIOS, np.ones(len(_RATIOS)))
    )
    curves = {}
    for alpha, dampening in ((10.0, 1.0), (30.0, 1.0), (10.0, 0.2)):
        options = {"alpha": alpha, "dampening": dampening}
        patch = kr.editing.selective_dampening(model, forget, full=full, **options)
        label = ", ".join(f"{name}={value:g}" for name, value in options.items())
        curves[label] = (_RATIOS, 1.0 + patch.delta(0).ravel())
    return curves


def _directions():
    model = _model(_SIZE, _SIZE)
    model.weights[0].assign(np.random.default_rng(0).normal(size=(_SIZE, _SIZE)))
    kernel = keras.ops.convert_to_numpy(model.weights[0]).astype("float64")
    shares = np.linspace(0.5, 0.99, 25)
    curves = {}
    for power in (0.5, 1.0, 2.0):
        values = np.diag(np.arange(1.0, _SIZE + 1.0) ** -power)
        factors = kr.editing.KroneckerFactors(Architecture.of(model), {0: (values, values)})
        kept = [
            np.mean(kernel + kr.editing.curvature_edit(model, factors, keep=share).delta(0) != 0.0)
            for share in shares
        ]
        curves[f"eigenvalues falling as k^-{power:g}"] = (shares, 100.0 * np.array(kept))
    return curves


PICTURES = {
    "dampened": Picture(
        "importance to the data to forget / to all data", "factor of the weight", _dampened, True
    ),
    "directions": Picture("share of curvature kept", "pairs of directions kept, %", _directions),
}
