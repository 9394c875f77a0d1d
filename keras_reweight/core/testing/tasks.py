"""Tiny models and data the checks share."""

from __future__ import annotations

import contextlib
import functools
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

NUM_SAMPLES, NUM_FEATURES, NUM_CLASSES, BATCH_SIZE = 12, 4, 3, 4
STEPS_PER_EPOCH = NUM_SAMPLES // BATCH_SIZE


@functools.cache
def features() -> np.ndarray:
    """Inputs of shape `(NUM_SAMPLES, NUM_FEATURES)`, float32."""
    return np.random.default_rng(0).normal(size=(NUM_SAMPLES, NUM_FEATURES)).astype("float32")


@functools.cache
def labels() -> np.ndarray:
    """Class ids of shape `(NUM_SAMPLES,)`, every class present."""
    return (np.arange(NUM_SAMPLES) % NUM_CLASSES).astype("int32")


def label_forms(y_true: Any, y_pred: Any) -> dict[str, np.ndarray]:
    """The forms besides ids in which the same class labels come; none where they are no ids."""
    ids, scores = np.asarray(y_true), np.shape(y_pred)
    if ids.dtype.kind not in "iu" or ids.shape != scores[:-1] or scores[-1] < 2:
        return {}
    if ids.min() < 0 or ids.max() >= scores[-1]:
        return {}  # an ignored id has no one-hot label
    one_hot = np.eye(scores[-1], dtype="float32")[ids]
    return {"ids with a trailing axis": ids[..., None], "one-hot labels": one_hot}


@functools.cache
def logits(seed: int = 1) -> np.ndarray:
    """Predictions of shape `(NUM_SAMPLES, NUM_CLASSES)`, float32."""
    return np.random.default_rng(seed).normal(size=(NUM_SAMPLES, NUM_CLASSES)).astype("float32")


@functools.cache
def losses(seed: int = 2) -> np.ndarray:
    """Positive, different losses of shape `(NUM_SAMPLES,)`, float32."""
    return np.random.default_rng(seed).uniform(0.1, 4.0, size=NUM_SAMPLES).astype("float32")


@dataclass(frozen=True)
class Task:
    """What a callback is trained on; the defaults suit any callback that needs nothing special.

    Attributes:
        targets: Function from plain targets to what `fit` gets, for callbacks that read ids.
        prepare: Called with the compiled model before `fit`.
        loss: Callable that makes the loss of one output.
        optimizer: Callable that makes the optimizer, given `gradient_accumulation_steps`.
        middle: Callable that makes layers to put behind the hidden one, for callbacks that look
            for layers of a certain kind. They take `(batch, 5)`.
        draws: Whether these layers draw random numbers, which differ between backends.
    """

    targets: Callable[[Any], Any] = staticmethod(lambda y: y)
    prepare: Callable[[keras.Model], Any] = staticmethod(lambda model: None)
    loss: Callable[[], Any] = staticmethod(
        lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    optimizer: Callable[..., Any] = staticmethod(
        lambda **kwargs: keras.optimizers.SGD(0.1, momentum=0.5, **kwargs)
    )
    middle: Callable[[], Sequence[keras.layers.Layer]] = tuple
    draws: bool = False


def numbered(model: keras.Model) -> keras.Model:
    """Give a built model trainable weights that are the same on every backend."""
    generator = np.random.default_rng(11)
    for variable in model.trainable_variables:
        variable.assign(generator.normal(scale=0.5, size=variable.shape).astype("float32"))
    return model


def _hidden(inputs, middle):
    hidden = keras.layers.Dense(5, activation="tanh", name="hidden")(inputs)
    for layer in middle():
        hidden = layer(hidden)
    return hidden


def functional(middle=tuple) -> keras.Model:
    """A Functional model with two kernels of different size."""
    inputs = keras.Input((NUM_FEATURES,), name="features")
    hidden = _hidden(inputs, middle)
    return numbered(keras.Model(inputs, keras.layers.Dense(NUM_CLASSES, name="out")(hidden)))


def sequential(middle=tuple) -> keras.Model:
    """The same network as a Sequential model."""
    layers = [
        keras.Input((NUM_FEATURES,)),
        keras.layers.Dense(5, activation="tanh", name="hidden"),
        *middle(),
        keras.layers.Dense(NUM_CLASSES, name="out"),
    ]
    return numbered(keras.Sequential(layers))


class Subclassed(keras.Model):
    """The same network as a subclassed model."""

    def __init__(self, middle=tuple):
        super().__init__()
        self.hidden = keras.layers.Dense(5, activation="tanh", name="hidden")
        self.middle = list(middle())
        self.out = keras.layers.Dense(NUM_CLASSES, name="out")

    def call(self, inputs, training=False):
        hidden = self.hidden(inputs)
        for layer in self.middle:
            hidden = layer(hidden, training=training)
        return self.out(hidden)


def subclassed(middle=tuple) -> keras.Model:
    """The same network as a built subclassed model."""
    model = Subclassed(middle)
    model(features()[:1])
    return numbered(model)


def two_outputs(middle=tuple) -> keras.Model:
    """A Functional model with two classification outputs, `first` and `second`."""
    inputs = keras.Input((NUM_FEATURES,), name="features")
    hidden = _hidden(inputs, middle)
    heads = [keras.layers.Dense(NUM_CLASSES, name=name)(hidden) for name in ("first", "second")]
    return numbered(keras.Model(inputs, heads))


class CountTraces(keras.layers.Layer):
    """Passes its input on and counts how often Python runs `call`: once for each compilation."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = 0

    def call(self, inputs, training=False):
        if training:
            self.count += 1
        return inputs


def counting(middle=tuple) -> keras.Model:
    """The Functional model with a layer `counter` that counts compilations."""
    inputs = keras.Input((NUM_FEATURES,), name="features")
    hidden = _hidden(CountTraces(name="counter")(inputs), middle)
    return numbered(keras.Model(inputs, keras.layers.Dense(NUM_CLASSES, name="out")(hidden)))


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers and models made inside get this policy, as after `set_dtype_policy`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def through_keras_file(model: keras.Model) -> keras.Model:
    """Saved to a `.keras` file and loaded again in safe mode."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / "model.keras"
        model.save(path)
        return keras.saving.load_model(path, safe_mode=True)
