"""Small models of every kind, filled with reproducible weights."""

import functools

import keras
import numpy as np
from keras import layers

# The weights are set afterwards; drawing them first costs a compilation per shape on JAX.
Dense = functools.partial(layers.Dense, kernel_initializer="zeros")
Conv2D = functools.partial(layers.Conv2D, kernel_initializer="zeros")

KINDS = ("functional", "sequential", "subclassed", "nested")


def dense(seed=0, dtype=None, units=4):
    """Three Dense layers `first`, `second`, `head`."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            Dense(5, activation="relu", name="first", dtype=dtype),
            Dense(units, activation="relu", name="second", dtype=dtype),
            Dense(2, name="head", dtype=dtype),
        ]
    )
    return randomized(model, seed)


class AlwaysDropout(layers.Dropout):
    """Drops in inference too, which moves its seed."""

    def call(self, x, training=False):
        return super().call(x, training=True)


def regularized(seed=0, dropout=layers.Dropout):
    """Dense layers with batch normalization and dropout, of the same seed every time."""
    model = keras.Sequential(
        [
            keras.Input((3,)),
            Dense(5, name="first"),
            layers.BatchNormalization(name="norm"),
            dropout(0.3, seed=7),
            Dense(2, name="head"),
        ]
    )
    return randomized(model, seed)


def functional(seed=0):
    """Convolutions with batch normalization, created in another order than they run."""
    head = Dense(2, name="head")
    late = Conv2D(4, 3, name="late")
    early = Conv2D(3, 3, name="early")
    inputs = keras.Input((6, 6, 2))
    x = layers.BatchNormalization(name="early_norm")(early(inputs))
    x = layers.Dropout(0.3)(layers.Activation("relu")(x))
    x = layers.BatchNormalization(name="late_norm")(late(x))
    x = layers.GlobalAveragePooling2D()(layers.Activation("relu")(x))
    return randomized(keras.Model(inputs, head(x)), seed)


def sequential(seed=0):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            Conv2D(3, 3, name="early"),
            layers.BatchNormalization(name="early_norm"),
            layers.Activation("relu"),
            layers.Flatten(),
            Dense(2, name="head"),
        ]
    )
    return randomized(model, seed)


class Block(layers.Layer):
    """Owns a weight itself and holds layers."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv = Conv2D(3, 3, name="conv")
        self.norm = layers.LayerNormalization(name="norm")

    def build(self, input_shape):
        self.gain = self.add_weight(shape=(), initializer="ones", name="gain")
        self.conv.build(input_shape)
        self.norm.build(self.conv.compute_output_shape(input_shape))

    def call(self, x):
        return self.norm(self.conv(x)) * self.gain


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = Block(name="block")
        self.flatten = layers.Flatten()
        self.head = Dense(2, name="head")

    def build(self, input_shape):
        self.offset = self.add_weight(shape=(2,), initializer="zeros", name="offset")
        self.block.build(input_shape)
        self.head.build((None, 4 * 4 * 3))

    def call(self, x):
        return self.head(self.flatten(self.block(x))) + self.offset


def subclassed(seed=0):
    model = Subclassed()
    model(np.zeros((1, 6, 6, 2), "float32"))
    return randomized(model, seed)


def nested(seed=0):
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            Conv2D(3, 3, name="inner_first"),
            Conv2D(3, 1, name="inner_second"),
        ],
        name="inner",
    )
    inputs = keras.Input((6, 6, 2))
    x = layers.Flatten()(inner(inputs))
    return randomized(keras.Model(inputs, Dense(2, name="head")(x)), seed)


def build(kind, seed=0):
    return {
        "functional": functional,
        "sequential": sequential,
        "subclassed": subclassed,
        "nested": nested,
    }[kind](seed)


def images(seed=0, samples=4):
    return np.random.default_rng(seed).normal(size=(samples, 6, 6, 2)).astype("float32")


def randomized(model, seed):
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        noise = rng.normal(size=tuple(variable.shape))
        positive = variable.path.endswith("variance")
        variable.assign((np.exp(noise) if positive else noise).astype("float32"))
    return model
