"""Small classifiers with data, for the methods that start LoRA."""

import functools

import keras
import numpy as np

from tests.reweight.signatures import models


def classifier(seed=0):
    """Dense layers `first`, `second`, `head`, compiled with the cross-entropy of logits."""
    return _compiled(models.dense(seed=seed))


def linear(seed=0):
    """The `head` alone, of three classes, which takes less time."""
    head = models.Dense(3, name="head")
    return _compiled(models.randomized(keras.Sequential([keras.Input((3,)), head]), seed))


@functools.cache
def kept():
    """One `linear` for all who leave it as it is."""
    return linear()


def _compiled(model):
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def samples(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3)).astype("float32"), rng.integers(0, 2, count)


def outputs(model):
    return keras.ops.convert_to_numpy(model(samples(9)[0]))


def gradients(model, x, y, kernels):
    """Of the mean loss with respect to the kernels of a ReLU network, by hand, in float64.

    `kernels` are those to use, whatever the model has.
    """
    biases = [np.asarray(layer.bias, "float64") for layer in model.layers]
    inputs, before = [x.astype("float64")], []
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True), start=1):
        before.append(inputs[-1] @ kernel + bias)
        inputs.append(np.maximum(before[-1], 0.0) if number < len(kernels) else before[-1])
    logits = before[-1]
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    delta = (p / p.sum(axis=1, keepdims=True) - np.eye(logits.shape[1])[y]) / len(y)
    found = []
    for number in reversed(range(len(kernels))):
        found.append(inputs[number].T @ delta)
        if number:
            delta = (delta @ kernels[number].T) * (before[number - 1] > 0.0)
    return found[::-1]


def kernels(model):
    return [np.asarray(layer.get_weights()[0], "float64") for layer in model.layers]
