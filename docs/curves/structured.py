"""What is left of widths and of costs when channels go."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_compress as kc
from docs.curves._picture import Picture


def _network(widths, size):
    """Convolutions, a residual block and a classifier, the same weights on every backend."""
    inputs = keras.Input((size, size, 3))
    x = inputs
    for number, width in enumerate(widths):
        x = layers.Conv2D(
            width, 3, strides=2 if number % 3 == 0 else 1, padding="same", name=f"conv{number}"
        )(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(10, name="head")(x))
    rng = np.random.default_rng(0)
    weights = []
    for value in model.get_weights():
        # The later a layer, the more its channels differ in size.
        spread = 0.1 * len(weights)
        scale = rng.lognormal(0.0, spread / 2, size=value.shape[-1])
        weights.append((rng.normal(size=value.shape) * scale).astype("float32"))
    model.set_weights(weights)
    return model


def _cost():
    model = _network((16, 16, 32), 32)
    ratios = np.linspace(0.0, 0.875, 6)
    found = {"multiply-accumulates": [], "parameters": []}
    for ratio in ratios:
        report = kc.analysis.count_macs(kc.prune_structured(model, float(ratio)))
        found["multiply-accumulates"].append(report.macs)
        found["parameters"].append(report.num_parameters)
    return {name: (ratios, np.array(each) / each[0]) for name, each in found.items()}


def _widths():
    sizes = np.full(8, 24)
    model = _network(sizes, 32)
    curves = {}
    for label, importance, scope in (
        ("local", "magnitude", "local"),
        ("global, magnitude", "magnitude", "global"),
        ("global, LAMP", "lamp", "global"),
    ):
        small = kc.prune_structured(model, 0.5, importance=importance, scope=scope)
        left = [small.get_layer(f"conv{number}").filters for number in range(len(sizes))]
        curves[label] = (np.arange(1, len(sizes) + 1), np.array(left) / sizes)
    return curves


PICTURES = {
    "cost": Picture("share of the channels that is removed", "share that is left", _cost),
    "widths": Picture("layer", "share of its channels that stays", _widths),
}
