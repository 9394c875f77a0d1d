"""Models and training shared by the claims."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES

EVALUATION_BATCH = 1000


def start(seed: int) -> None:
    """A clean slate: the same seed gives the same run, whatever ran before."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)


def mlp(hidden: Sequence[int] = (128,)) -> keras.Model:
    """A classifier of MNIST images; gives logits."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Flatten(),
            *[layers.Dense(units, "relu") for units in hidden],
            layers.Dense(NUM_CLASSES),
        ]
    )


def cnn(*, hidden: int | None = None, depthwise: bool = False) -> keras.Model:
    """A classifier of CIFAR images; gives logits.

    Three convolutions of stride two (16, 32, 64 filters); with `depthwise` a depthwise convolution
    behind them, with `hidden` a dense layer before the last one.
    """
    stack = [keras.Input((32, 32, 3))]
    for filters in (16, 32, 64):
        stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    if depthwise:
        stack.append(layers.DepthwiseConv2D(3, padding="same", activation="relu"))
    stack.append(layers.Flatten())
    if hidden is not None:
        stack.append(layers.Dense(hidden, "relu"))
    return keras.Sequential([*stack, layers.Dense(NUM_CLASSES)])


def compile_classifier(model: keras.Model, learning_rate: float | object = 1e-3) -> keras.Model:
    """Compile with Adam, the cross-entropy of logits, and accuracy."""
    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def accuracy(model: keras.Model, x: np.ndarray, y: np.ndarray) -> float:
    """Share of right predictions, in percent."""
    logits = model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)
    return 100.0 * float(np.mean(logits.argmax(axis=-1) == y))
