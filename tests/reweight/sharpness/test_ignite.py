"""The sensitivity of predictions as a penalty, in NumPy for a linear model."""

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.compare import assert_close
from tests.reweight.meta import models

RATE = 0.1
ARGUMENTS = {"rho": 0.5, "radius": 0.2, "multiplier": 0.3, "dual_learning_rate": 0.1, "limit": 0.05}


def model():
    """Bent, so that the gradient of the mean prediction depends on the weights."""
    return models.linear(activation="tanh")


def losses_and_gradients(kernel, bias):
    """Mean squared error to one-hot labels, and the mean output, with their gradients."""
    x = models.X.astype("float64")
    outputs = np.tanh(x @ kernel + bias)
    slopes = 1.0 - outputs**2
    error = 2.0 * (outputs - np.eye(3)[models.Y]) / outputs.size * slopes
    mean = slopes / outputs.size
    return [x.T @ error, error.sum(axis=0)], [x.T @ mean, mean.sum(axis=0)]


def reference(rho, radius, multiplier, dual_learning_rate, limit):
    """Kernel, bias and multiplier after two steps on the whole batch."""
    values, dual = [models.KERNEL, models.BIAS], multiplier
    for _ in range(2):
        gradients, here = losses_and_gradients(*values)
        length = np.sqrt(sum((part**2).sum() for part in here))
        beyond = [v + radius * h / length for v, h in zip(values, here, strict=True)]
        _, there = losses_and_gradients(*beyond)
        values = [
            v - RATE * (g + dual * rho / radius * (t - h))
            for v, g, h, t in zip(values, gradients, here, there, strict=True)
        ]
        dual = max(0.0, dual + dual_learning_rate * (rho * length - limit))
    return [*values, dual]


def after_two_steps(trainer):
    """The same with the wrapper."""
    trainer.compile(keras.optimizers.SGD(RATE), "mse", **models.steps())
    labels = np.eye(3, dtype="float32")[models.Y]
    trainer.fit(models.X, labels, batch_size=8, epochs=2, verbose=0)
    return [*models.weights_of(trainer.model), ops.convert_to_numpy(trainer._dual)]


def test_steps_follow_the_formula():
    found = after_two_steps(kr.sharpness.IGNITE(model(), **ARGUMENTS))
    for value, expected in zip(found, reference(**ARGUMENTS), strict=True):
        assert_close(value, expected, "after two steps", relative=1e-4)


def test_without_a_multiplier_it_is_plain_training_and_reports_the_sensitivity():
    trainer = kr.sharpness.IGNITE(model(), multiplier=0.0, dual_learning_rate=0.0, rho=0.5)
    found = after_two_steps(trainer)
    values = [models.KERNEL, models.BIAS]
    for _ in range(2):
        gradients, _ = losses_and_gradients(*values)
        values = [v - RATE * g for v, g in zip(values, gradients, strict=True)]
    for value, expected in zip(found, values, strict=False):
        assert_close(value, expected, "after two steps")
    _, here = losses_and_gradients(*[v.astype("float64") for v in found[:2]])
    logs = trainer.fit(models.X, np.eye(3)[models.Y], batch_size=8, verbose=0).history
    length = np.sqrt(sum((part**2).sum() for part in here))
    np.testing.assert_allclose(logs["sensitivity"], [0.5 * length], rtol=1e-5)
    assert logs["multiplier"] == [0.0]
