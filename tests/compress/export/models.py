"""Small models that save_sparse has to cope with; their values come from NumPy."""

import keras
import numpy as np
from keras import layers

from keras_reweight.core.variable_bits import read_bits


@keras.saving.register_keras_serializable(package="tests.export")
class Scaled(layers.Layer):
    """A custom layer with a weight of its own."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale", initializer="ones")

    def call(self, inputs):
        return inputs * self.scale


@keras.saving.register_keras_serializable(package="tests.export")
class Subclassed(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.hidden = layers.Dense(4, kernel_initializer="zeros")
        self.out = layers.Dense(units, kernel_initializer="zeros")

    def call(self, inputs):
        return self.out(self.hidden(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class WithoutConfig(keras.Model):
    """Its constructor takes what no configuration can hold."""

    def __init__(self, layer):
        super().__init__()
        self.inner = layer

    def call(self, inputs):
        return self.inner(inputs)


def mixed(dtype="float32"):
    """A nested model with weights for every encoding."""
    tail = keras.Sequential(
        [keras.Input((16,)), layers.Dense(40, kernel_initializer="zeros", name="inner"), Scaled()],
        name="tail",
    )
    inputs = keras.Input((64,), dtype=dtype)
    hidden = layers.Dense(16, kernel_initializer="zeros", name="first", dtype=dtype)(inputs)
    hidden = layers.BatchNormalization(name="norm", dtype=dtype)(hidden)
    hidden = tail(hidden)
    model = keras.Model(inputs, layers.Dense(2, kernel_initializer="zeros", name="head")(hidden))
    return fill(model)


def fill(model, shares=(0.5, 0.9)):
    """Random values, the first kernels with these shares of zeros."""
    rng = np.random.default_rng(0)
    shares = list(shares)
    for variable in model.weights:
        value = rng.normal(size=variable.shape)
        if variable.name == "kernel" and shares:
            value[rng.random(value.shape) < shares.pop(0)] = 0.0
        variable.assign(value.astype("float32"))
    return model


def assert_same_bits(first, second):
    assert len(first.weights) == len(second.weights)
    for one, other in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(read_bits(one), read_bits(other))
