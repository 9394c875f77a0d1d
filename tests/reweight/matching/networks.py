"""Networks whose channels are found in many kinds of layers, with numbered weights."""

from __future__ import annotations

import functools

import keras
import numpy as np
from keras import layers

from tests.compress.structured import networks

numbered = networks.numbered
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 3)).astype("float32")
SMALL = RNG.normal(size=(6, 4, 4, 2)).astype("float32")
TOKENS = RNG.integers(0, 11, (6, 5))
SEQUENCES = RNG.normal(size=(6, 5, 4)).astype("float32")


def mixed():
    """Grouped convolutions, group and layer normalization, a dense layer in a residual stream."""
    x = keras.Input((4, 4, 2))
    y = layers.Conv2D(8, 1, name="wide", **networks.ZEROS)(x)
    y = layers.GroupNormalization(2, name="group_norm")(y)
    y = layers.Conv2D(4, 1, groups=2, activation="relu", name="grouped", **networks.ZEROS)(y)
    y = layers.Concatenate()([y, x])
    y = layers.Reshape((2, 8, 6))(y)
    y = layers.Flatten()(layers.AveragePooling2D((1, 2))(y))
    y = layers.LayerNormalization(name="layer_norm")(
        layers.Dense(6, name="in", **networks.ZEROS)(y)
    )
    y = layers.Add()([y, layers.Dense(6, "tanh", name="stream", **networks.ZEROS)(y)])
    return numbered(keras.Model(x, layers.Dense(3, name="head", **networks.ZEROS)(y)))


def attention():
    x = keras.Input((5, 4))
    y = layers.Dense(6, name="in", **networks.ZEROS)(x)
    y = layers.Add()([y, layers.MultiHeadAttention(3, 2, name="attention")(y, y)])
    return numbered(keras.Model(x, layers.Dense(3, name="head", **networks.ZEROS)(y)))


def nested():
    """A model called twice, so that what goes in and what comes out are the same channels."""
    inside = layers.Dense(6, "tanh", name="inside", **networks.ZEROS)
    inner = keras.Sequential([keras.Input((5, 6)), inside], name="inner")
    x = keras.Input((5, 4))
    y = layers.Dense(6, name="outside", **networks.ZEROS)(x)
    y = layers.Bidirectional(layers.GRU(2, name="gru"), name="both")(inner(inner(y)))
    return numbered(keras.Model(x, layers.Dense(3, name="head", **networks.ZEROS)(y)))


NETWORKS = {
    "attention": (attention, SEQUENCES),
    "flattened": (networks.flattened, SMALL),
    "mixed": (mixed, SMALL),
    "nested": (nested, SEQUENCES),
    "recurrent": (networks.recurrent, TOKENS),
    "residual": (networks.residual, IMAGES),
}


@functools.cache
def _built(name, copy):
    return NETWORKS[name][0]()


def network(name, copy=0, seed=7):
    """One of the networks; building it once is enough, its weights are set anew."""
    return numbered(_built(name, copy), seed)


def uneven():
    """Two places of the last sum: one is made twice by `a` and once by `b`, one the other way."""
    x = keras.Input((4,))
    both = layers.Concatenate()([layers.Dense(3, name=name)(x) for name in "ab"])
    y = layers.Add()(keras.ops.split(both, 3, axis=-1))
    y = layers.Dense(4, name="hidden")(y)
    return keras.Model(x, layers.Dense(2, name="head")(y))


@functools.cache
def _built_stack(units, seed):
    return networks.dense(units[1:-1], units[0], units[-1])


def stack(seed, units=(5, 12, 12, 3), noise=0.0, start=None):
    """Dense layers `hidden0`, ..., `head`; with `start`, those weights and some noise.

    The same arguments give the same model, with its weights set anew.
    """
    model = _built_stack(units, seed)
    rng = np.random.default_rng(seed)
    values = start or [0.5 * rng.normal(size=variable.shape) for variable in model.weights]
    model.set_weights([value + noise * rng.normal(size=value.shape) for value in values])
    return model
