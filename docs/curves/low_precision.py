"""What becomes of steps that are smaller than the distance of two levels."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

import keras_compress as kc
from docs.curves._picture import Picture

_STEPS = 40
_ARMS = {
    "float": None,
    "error dropped": {"compensate": False},
    "error carried": {},
    "carried, at random": {"stochastic": True},
}


def _carry():
    """Gradient steps to a random matrix, weights at 4 bits."""
    rng = np.random.default_rng(0)
    target = rng.normal(size=(32, 16)).astype("float32")
    start = rng.normal(size=(32, 16)).astype("float32")
    curves = {}
    for label, options in _ARMS.items():
        optimizer = keras.optimizers.SGD(0.02, momentum=0.5)
        if options is not None:
            optimizer = kc.optimizers.ErrorCompensating(optimizer, 4, **options)
        weights = keras.Variable(start, name="kernel")
        distances = []
        for _ in range(_STEPS):
            values = ops.convert_to_numpy(weights.value)
            distances.append(np.sqrt(np.mean((values - target) ** 2)))
            optimizer.apply([ops.convert_to_tensor(values - target)], [weights])
        curves[label] = (np.arange(_STEPS), np.array(distances))
    return curves


PICTURES = {"carry": Picture("steps", "distance to the optimum", _carry)}
