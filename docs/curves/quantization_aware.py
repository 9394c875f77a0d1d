"""What training under quantization gets back."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture

_BITS = range(2, 7)


def _trained():
    """A linear map, known exactly, with a layer for each bit width; inputs are correlated."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(128, 16)) @ rng.normal(size=(16, 16))).astype("float32") / 4
    kernel = rng.normal(size=(16, 8)).astype("float32")
    inputs = keras.Input((16,))
    outputs = {
        str(bits): keras.layers.Dense(8, name=str(bits), kernel_initializer="zeros")(inputs)
        for bits in _BITS
    }
    model = keras.Model(inputs, outputs)
    for layer in model.layers[1:]:
        layer.kernel.assign(kernel)
    quantized = kc.quantize_aware(model, weights={str(bits): bits for bits in _BITS})
    goal = x @ kernel

    def errors():
        found = quantized.predict(x, batch_size=128, verbose=0)
        return np.array([np.mean((found[str(bits)] - goal) ** 2) for bits in _BITS])

    curves = {"rounded": (np.array(_BITS), errors())}
    quantized.compile(keras.optimizers.Adam(0.01), dict.fromkeys(outputs, "mse"))
    targets = dict.fromkeys(outputs, goal)
    quantized.fit(x, targets, batch_size=32, epochs=40, verbose=0, shuffle=False)
    return {**curves, "trained": (np.array(_BITS), errors())}


PICTURES = {"trained": Picture("bits of the weights", "mean squared error", _trained)}
