"""What each allocation leaves of the layers of a small network."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_SHAPES = ((3, 16), (16, 32), (32, 64))


def _model():
    layers = [
        keras.layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu")
        for _, filters in _SHAPES
    ]
    stack = [*layers, keras.layers.Flatten(), keras.layers.Dense(64, activation="relu")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stack, keras.layers.Dense(10)])
    rng = np.random.default_rng(0)
    # Heavy tails, heavier in the first layers, as training leaves them.
    tails = iter((2.5, 3.0, 4.0, 6.0, 3.0))
    for variable in model.trainable_variables:
        if variable.name == "kernel":
            shape = tuple(variable.shape)
            scale = np.sqrt(2.0 / np.prod(shape[:-1]))
            variable.assign(scale * rng.standard_t(next(tails), size=shape))
    return model


def _survivors():
    model, places = _model(), np.arange(1, 6)
    x = np.random.default_rng(1).normal(size=(16, 16, 16, 3)).astype("float32")
    allocations = {
        "uniform": kc.pruning.UniformAllocation(),
        "global": kc.pruning.GlobalAllocation(),
        "LAMP": kc.pruning.LAMPAllocation(),
        "ERK": kc.pruning.ERKAllocation(),
        "RD": kc.pruning.RateDistortionAllocation(x, levels=20),
        "alpha": kc.pruning.AlphaAllocation(),
    }
    return {
        name: (places, 1.0 - np.array(list(plan.values())))
        for name, plan in (
            (name, kc.pruning.plan_sparsities(model, 0.9, allocation=allocation))
            for name, allocation in allocations.items()
        )
    }


PICTURES = {
    "survivors": Picture("layer, from the input to the output", "share that survives", _survivors)
}
