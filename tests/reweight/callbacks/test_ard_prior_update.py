"""ARDPriorUpdate: the second moments of the encodings, before every epoch."""

import copy

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.encoder, self.prior = keras.layers.Dense(6), kr.layers.ARDPrior(0.1, seed=0)
        self.decoder = keras.layers.Dense(4)

    def call(self, inputs):
        return self.decoder(self.prior(self.encoder(inputs)))


def build(kind="functional", rate=0.1):
    keras.utils.set_random_seed(0)
    if kind == "subclassed":
        model = Subclassed()
        model(X[:1])
    else:
        inputs = keras.Input((4,))
        latent = kr.layers.ARDPrior(0.1, seed=0, name="prior")(keras.layers.Dense(6)(inputs))
        model = keras.Model(inputs, keras.layers.Dense(4)(latent))
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def prior_of(model):
    layer = model.prior if isinstance(model, Subclassed) else model.get_layer("prior")
    return ops.convert_to_numpy(layer.prior_variance).copy()


def moments(model, x):
    kernel, bias = (w.astype("float64") for w in model.get_weights()[:2])
    encoded = x.astype("float64") @ kernel + bias
    return (encoded[:, :3] ** 2 + np.exp(encoded[:, 3:])).mean(axis=0)


@pytest.mark.parametrize("kind", ["functional", "subclassed"])
def test_the_prior_is_the_second_moment_of_the_encodings(kind):
    model = build(kind, rate=0.0)
    expected = moments(model, X[4:])
    callback = kr.callbacks.ARDPriorUpdate(X[4:], batch_size=3)
    model.fit(X, X, verbose=0, callbacks=[callback])
    np.testing.assert_allclose(prior_of(model), expected, rtol=1e-5)


def test_it_is_constant_within_an_epoch_and_follows_between():
    model, seen = build(), []

    class Watch(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model  # noqa: B018 - brings the state of JAX back
            seen.append((moments(self.model, X), prior_of(self.model)))

        def on_epoch_end(self, epoch, logs=None):
            np.testing.assert_array_equal(prior_of(self.model), seen[-1][1])

    callbacks = [kr.callbacks.ARDPriorUpdate(X), Watch()]
    model.fit(X, X, epochs=3, batch_size=4, verbose=0, callbacks=callbacks)
    for expected, found in seen:
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert not np.allclose(seen[0][1], seen[2][1], rtol=1e-3)


def test_draws_differ_between_epochs_and_repeat_with_the_seed():
    callback = kr.callbacks.ARDPriorUpdate(X, num_samples=4, seed=3)
    twin = copy.deepcopy(callback)
    model = build(rate=0.0)
    found = []
    for used in (callback, twin):
        model.fit(X, X, verbose=0, callbacks=[used])
        found.append(prior_of(model))
    model.fit(X, X, epochs=2, initial_epoch=1, verbose=0, callbacks=[callback])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(prior_of(model), found[0])
    assert twin.x is X


def test_refusals():
    with pytest.raises(TypeError, match="`x`"):
        kr.callbacks.ARDPriorUpdate("data")
    with pytest.raises(ValueError, match="`x`"):
        kr.callbacks.ARDPriorUpdate([X, X[:2]])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="layers"):
        model.fit(X, X, verbose=0, callbacks=[kr.callbacks.ARDPriorUpdate(X)])
