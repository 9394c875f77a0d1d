"""Values and a model that the tests of this package share."""

import keras
import numpy as np

import keras_compress as kc

RNG = np.random.default_rng(0)
THETA = RNG.normal(size=(6, 4)).astype("float32")
X = RNG.normal(size=(5, 6)).astype("float32")


def two_layers(**options):
    """A model with fixed weights, for inputs of six features."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            kc.continual.BinaryVariationalDense(4, "relu", name="first", **options),
            keras.layers.Dense(3, name="plain"),
            kc.continual.BinaryVariationalDense(2, name="last", **options),
        ]
    )
    for layer, shape in zip(model.layers, ((6, 4), (4, 3), (3, 2)), strict=True):
        variable = layer.kernel if layer.name == "plain" else layer.theta
        variable.assign(np.random.default_rng(1).normal(size=shape))
    return model
