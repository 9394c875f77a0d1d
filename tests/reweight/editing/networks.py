"""The network of the tests: 3 inputs, 4 tanh units, 3 logits; five samples."""

from __future__ import annotations

import functools

import keras
import numpy as np

from tests.core.gradients.references import Reference, dense_reference

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@functools.cache
def shared() -> Reference:
    """One network for all tests that leave it as it is: gradients are compiled once."""
    given = dense_reference()
    given.model.compile("sgd", LOSS)
    return given


def fresh() -> keras.Model:
    """The same network, for one test."""
    return dense_reference().model


def data():
    return shared().x, shared().y


def logits(x):
    w1, b1, w2, b2 = shared().weights
    return np.tanh(np.asarray(x, "float64") @ w1 + b1) @ w2 + b2


def split(vector):
    """A flat gradient as a dict by position in `model.weights`."""
    return dict(enumerate(shared().split(vector)))
