"""fold_kernels: every kind of model, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.selection import all_layers
from keras_reweight.core.testing.backends import evaluate
from keras_reweight.layers._reparametrized import ReparametrizedKernel

X = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")


def nested():
    inner = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            kr.layers.WeightedConv2D(2, 3, trainable_density=True, padding="same", name="first"),
            keras.layers.BatchNormalization(name="norm"),
        ],
        name="inner",
    )
    shared = kr.layers.CompandedConv2D(2, 3, padding="same", name="shared")
    inputs = keras.Input((6, 6, 1))
    hidden = inner(inputs)
    hidden = keras.layers.Add()([shared(hidden), shared(shared(hidden))])
    hidden = keras.layers.Dense(3, name="plain")(keras.layers.Flatten()(hidden))
    model = keras.Model(inputs, kr.layers.CompandedDense(2, amplitude=0.5, name="head")(hidden))
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.uniform(0.1, 0.6, variable.shape).astype("float32"))
    return model


def test_functional_nested_and_shared():
    model = nested()
    model.get_layer("plain").trainable = False
    before = model.get_weights()
    plain = kr.layers.fold_kernels(model)
    assert not any(isinstance(layer, ReparametrizedKernel) for layer in all_layers(plain))
    np.testing.assert_allclose(evaluate(plain, X), evaluate(model, X), rtol=1e-5, atol=1e-6)
    assert not plain.get_layer("plain").trainable
    assert len(plain.layers) == len(model.layers)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = kr.layers.CompandedDense(2)

    def call(self, x):
        return self.head(x)


def test_refusals():
    model = Subclassed()
    model(np.zeros((1, 3), "float32"))
    with pytest.raises(ValueError, match="Subclassed"):
        kr.layers.fold_kernels(model)
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="plain already"):
        kr.layers.fold_kernels(plain)
    held = keras.layers.TimeDistributed(kr.layers.CompandedDense(2))
    with pytest.raises(ValueError, match="held by layers of other kinds"):
        kr.layers.fold_kernels(keras.Sequential([keras.Input((3, 2)), held]))
