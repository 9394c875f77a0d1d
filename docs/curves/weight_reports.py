"""Where changes live, and what reports say of kernels that are made for it."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture
from keras_reweight.analysis.filter_quality import measure_filters
from keras_reweight.analysis.spectral_report import measure_spectrum

_UNITS = (32, 32, 32, 32, 32, 4)


def _change():
    """A network that tells which of four directions is the largest, trained anew in two ways."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 16)).astype("float32")
    y = (x @ rng.normal(size=(16, 4))).argmax(axis=-1)
    noisy = (x + rng.normal(size=x.shape)).astype("float32")
    curves = {}
    for label, images, labels in (("noise", noisy, y), ("other labels", x, 3 - y)):
        model = _network()
        _fit(model, x, y)
        before = kr.WeightSnapshot(model)
        _fit(model, images, labels)
        rows = kr.analysis.weight_report(before, model).layers
        numbers = np.arange(1, len(rows) + 1)
        curves[label] = (numbers, np.array([row.relative for row in rows]))
    return curves


def _network():
    model = keras.Sequential([keras.Input((16,))])
    rng, inputs = np.random.default_rng(1), 16
    for number, units in enumerate(_UNITS):
        activation = "relu" if number < len(_UNITS) - 1 else None
        model.add(keras.layers.Dense(units, activation, kernel_initializer="zeros"))
        kernel = rng.normal(scale=np.sqrt(2.0 / inputs), size=(inputs, units))
        model.layers[-1].kernel.assign(kernel)
        inputs = units
    return model


def _fit(model, x, y):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    model.fit(x, y, batch_size=64, epochs=4, shuffle=False, verbose=0)


def _entropy():
    """Mixtures of a few patterns with a little noise: 256 filters of 3x3."""
    rng = np.random.default_rng(0)
    counts = np.arange(1, 10)
    curves = {}
    for noise in (0.02, 0.1, 0.3):
        found = []
        for count in counts:
            filters = rng.normal(size=(256, count)) @ rng.normal(size=(count, 9))
            filters += noise * filters.std() * rng.normal(size=filters.shape)
            kernel = filters.T.reshape(3, 3, 8, 32)
            found.append(measure_filters("conv", kernel, 0.01).normalized_entropy)
        curves[f"{noise:.0%} noise"] = (counts, np.array(found))
    return curves


def _spectrum():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(128, 128))
    direction = np.outer(rng.normal(size=128), rng.normal(size=128))
    strengths = np.linspace(0.0, 1.0, 21)
    rows = [measure_spectrum("w", (noise + s * direction)[None], "median", 10) for s in strengths]
    stable = np.array([row.stable_rank for row in rows])
    return {
        "Marchenko-Pastur rank": (strengths, np.array([row.mp_softrank for row in rows])),
        "stable rank, by that of the noise": (strengths, stable / stable[0]),
    }


PICTURES = {
    "change": Picture("layer", "relative change", _change),
    "entropy": Picture("number of patterns", "normalized entropy", _entropy),
    "spectrum": Picture("strength of the direction", "rank", _spectrum),
}
