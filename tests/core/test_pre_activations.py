import keras
import numpy as np
import pytest

from keras_reweight.core.pre_activations import pre_activation_moments
from tests.reweight.signatures import models

L = keras.layers


def test_outputs_before_the_activation():
    model = models.dense()
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")
    first, head = model.get_layer("first"), model.get_layer("head")
    before = [first.activation, head.activation, first.call]
    found = pre_activation_moments(model, [first, head], (x, np.zeros(7)), batch_size=3)
    kernel, bias = (np.asarray(w, "float64") for w in first.weights)
    hidden = x.astype("float64") @ kernel + bias
    np.testing.assert_allclose(found[0], hidden.T @ hidden / 7, rtol=1e-5)
    out = model.predict(x, verbose=0).astype("float64")
    np.testing.assert_allclose(found[1], out.T @ out / 7, rtol=1e-5)
    assert [first.activation, head.activation, first.call] == before


def test_positions_are_summed_without_the_masked_ones():
    model = keras.Sequential(
        [keras.Input((4, 2)), L.Masking(), models.Dense(3, "relu", name="dense")]
    )
    models.randomized(model, 0)
    x = np.random.default_rng(0).normal(size=(5, 4, 2)).astype("float32")
    x[1, 2:] = 0.0
    kernel, bias = (np.asarray(w, "float64") for w in model.get_layer("dense").weights)
    rows = ((x @ kernel + bias) * x.any(axis=-1, keepdims=True)).sum(axis=1)
    (found,) = pre_activation_moments(model, [model.get_layer("dense")], x)
    np.testing.assert_allclose(found, rows.T @ rows / 5, rtol=1e-5)


def test_convolutions_and_layers_used_twice():
    shared = models.Conv2D(2, 3, padding="same", name="shared", activation="relu")
    inputs = keras.Input((4, 4, 2))
    model = models.randomized(keras.Model(inputs, shared(inputs)), 0)
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype("float32")
    (found,) = pre_activation_moments(model, [shared], x)
    plain = models.Conv2D(2, 3, padding="same")
    plain.build((None, 4, 4, 2))
    for mine, other in zip(plain.weights, shared.weights, strict=True):
        mine.assign(other)
    rows = keras.ops.convert_to_numpy(plain(x)).astype("float64").sum(axis=(1, 2))
    np.testing.assert_allclose(found, rows.T @ rows / 3, rtol=1e-4)
    twice = keras.Model(inputs, shared(shared(inputs)))
    with pytest.raises(ValueError, match="'shared' must be called once"):
        pre_activation_moments(twice, [shared], x)
    with pytest.raises(ValueError, match="no samples"):
        pre_activation_moments(model, [shared], x[:0])
