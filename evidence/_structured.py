"""What the claims on structured pruning share: a residual network, and how models are compared."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES
from evidence.training import EVALUATION_BATCH, compile_classifier

BATCH = 64


def residual_cnn(width: int = 16) -> keras.Model:
    """A classifier of CIFAR images with batch normalization and two residual blocks; gives logits.

    The channels of each stage are added up, so they go together; those inside a block are free.
    """
    inputs = keras.Input((32, 32, 3))
    x = _convolution(inputs, width, strides=2)
    for filters, strides in ((width, 1), (2 * width, 2)):
        y = _convolution(x, 2 * filters, strides=strides)
        y = _convolution(y, filters, activation=None)
        if strides > 1 or x.shape[-1] != filters:
            x = layers.Conv2D(filters, 1, strides=strides, use_bias=False)(x)
            x = layers.BatchNormalization()(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(64, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(NUM_CLASSES)(x))


def _convolution(x, filters, *, strides=1, activation="relu"):
    x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def train(model: keras.Model, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    """Compile and fit."""
    compile_classifier(model)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


def logits(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """What the model gives for images."""
    return model.predict(x, batch_size=EVALUATION_BATCH, verbose=0)


def accuracy_of(outputs: np.ndarray, y: np.ndarray) -> float:
    """Share of right predictions, in percent."""
    return 100.0 * float(np.mean(outputs.argmax(axis=-1) == y))
