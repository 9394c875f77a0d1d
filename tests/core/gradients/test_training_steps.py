"""The gradient functions inside `compute_loss` and losses of `fit`, and inside callbacks."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.gradients import input_gradient, make_input_gradient, value_and_grad
from keras_reweight.core.testing.compare import assert_close
from tests.core.gradients.references import cross_entropy, derivative

X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")
Y = np.array([0, 1, 1, 0, 1, 0, 0, 1])
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
EPSILON = 0.3


def attacked(model, x, y):
    """One step of a sign attack."""
    slope = input_gradient(model, x, y, loss=LOSS)
    return ops.convert_to_tensor(x) + EPSILON * ops.sign(slope)


class Adversarial(keras.Model):
    """Trains on attacked inputs only."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return LOSS(y, self(attacked(self, x, y), training=training))


class Penalized(keras.Model):
    """Trains on the squared gradient of the loss with respect to the inputs."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        slope = input_gradient(self, x, y, loss=LOSS, differentiable=True)
        return ops.sum(ops.square(slope))


def build(kind):
    inputs = keras.Input((3,))
    outputs = layers.Dense(2)(layers.Dense(4, activation="tanh")(inputs))
    model = kind(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0))
    return model


def weights_of(model):
    return [ops.convert_to_numpy(variable) for variable in model.trainable_variables]


def test_adversarial_training_follows_the_gradient_computed_outside():
    model, outside = build(Adversarial), build(keras.Model)
    outside.set_weights(model.get_weights())
    model.fit(X, Y, batch_size=4, epochs=1, shuffle=False, verbose=0)
    for batch in (slice(0, 4), slice(4, 8)):
        x = ops.convert_to_numpy(attacked(outside, X[batch], Y[batch]))
        assert np.abs(x - X[batch]).max() > 0.29
        _, gradients, _ = value_and_grad(outside, x, Y[batch], loss=LOSS)
        for variable, gradient in zip(outside.trainable_variables, gradients, strict=True):
            variable.assign(variable - gradient)
    for found, expected in zip(weights_of(model), weights_of(outside), strict=True):
        assert_close(found, expected, "weights after two steps")


def test_a_differentiable_input_gradient_trains_through():
    model = build(Penalized)
    start = [weight.astype("float64") for weight in weights_of(model)]
    shapes = [weight.shape for weight in start]
    splits = np.cumsum([weight.size for weight in start])[:-1]
    x, y = X[:4].astype("float64"), Y[:4]

    def penalty(flat):
        w1, b1, w2, b2 = [
            part.reshape(shape) for part, shape in zip(np.split(flat, splits), shapes, strict=True)
        ]
        hidden = np.tanh(x @ w1 + b1)
        logits = hidden @ w2 + b2
        delta = np.exp(logits - logits.max(1, keepdims=True))
        delta = delta / delta.sum(1, keepdims=True) - np.eye(2)[y]
        return np.array((((delta @ w2.T * (1 - hidden**2)) @ w1.T) ** 2).sum())

    flat = np.concatenate([weight.ravel() for weight in start])
    expected = flat - derivative(penalty, flat, 1e-3)
    model.train_on_batch(X[:4], Y[:4])
    found = np.concatenate([weight.ravel() for weight in weights_of(model)])
    assert_close(found, expected, "weights after one step")


def test_inside_a_loss_function():
    """A loss that adds the alignment of an input gradient at fixed probes."""
    probe = X[:2]
    model = build(keras.Model)
    saliency = make_input_gradient(lambda x: model(x)[:, 0], others=model.variables)
    reference = ops.convert_to_numpy(saliency(probe))
    seen = []

    def loss(y_true, y_pred):
        slope = saliency(ops.convert_to_tensor(probe))
        seen.append(tuple(slope.shape))
        return LOSS(y_true, y_pred) + 0.0 * ops.sum(slope) + ops.sum(ops.square(slope))

    model.compile(keras.optimizers.SGD(0.0), loss)
    value = model.train_on_batch(X, Y)
    logits = ops.convert_to_numpy(model(X)).astype("float64")
    expected = cross_entropy(logits, Y).mean() + (reference.astype("float64") ** 2).sum()
    assert seen
    assert_close(value, expected, "loss")
    assert_close(ops.convert_to_numpy(saliency(probe)), reference, "after training")


def fit_with(callbacks):
    model = build(keras.Model)
    model.compile(keras.optimizers.Adam(0.1), LOSS)
    model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.parametrize("held", [False, True])
def test_inside_a_callback(held):
    values, models = [], []

    class Probe(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            # A model that was kept elsewhere does not sync itself on JAX.
            model = models[0] if held else self.model
            values.append(float(ops.convert_to_numpy(value_and_grad(model, X, Y)[0])))

        def on_train_begin(self, logs=None):
            models.append(self.model)

    probed, plain = fit_with([Probe()]), fit_with([])
    for found, expected in zip(weights_of(probed), weights_of(plain), strict=True):
        assert_close(found, expected, "weights")
    assert len(values) == 4 and len(set(values)) == 4
    assert_close(values[-1], plain.evaluate(X, Y, verbose=0), "last probe")


def test_a_call_in_compute_loss_keeps_the_activity_losses_of_the_step():
    class Probing(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            input_gradient(self, x, y, loss=LOSS)
            return super().compute_loss(x, y, y_pred, sample_weight)

    losses = []
    for kind in (keras.Model, Probing):
        inputs = keras.Input((3,))
        hidden = layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l1")(inputs)
        model = kind(inputs, hidden)
        model.compile(keras.optimizers.SGD(0.0), LOSS)
        losses.append(model.train_on_batch(X, Y))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert losses[0] > float(ops.convert_to_numpy(LOSS(Y, model(X))))
