"""A model whose weights get gradients that are known in advance: its inputs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.testing.compare import snapshot

register = keras.saving.register_keras_serializable(package="keras_reweight_testing")


@register
class Weights(keras.layers.Layer):
    """Weights whose gradient is the input: the output is the sum of their products with it."""

    def __init__(self, shapes, **kwargs):
        super().__init__(**kwargs)
        self.shapes = [tuple(shape) for shape in shapes]
        self.traces = 0

    def build(self, input_shape):
        self.parts = [
            self.add_weight(name=f"part_{i}", shape=shape) for i, shape in enumerate(self.shapes)
        ]

    def call(self, inputs, training=False):
        self.traces += bool(training)
        flat = ops.concatenate([ops.reshape(part, (-1,)) for part in self.parts])
        return ops.sum(inputs * flat, axis=-1, keepdims=True)

    def get_config(self):
        return {**super().get_config(), "shapes": self.shapes}


@register
class Output(keras.losses.Loss):
    """The output itself as loss."""

    def call(self, y_true, y_pred):
        return ops.squeeze(y_pred, axis=-1)


class SetRate(keras.callbacks.Callback):
    """Sets the learning rate before every step."""

    def __init__(self, rates):
        super().__init__()
        self.rates = rates

    def on_train_batch_begin(self, batch, logs=None):
        # `model` first brings the running state back into the variables.
        self.model.optimizer.learning_rate = self.rates[batch]


def compiled_model(optimizer: Any, start: list[np.ndarray], eager: bool = True) -> keras.Model:
    """A model with these weights."""
    layer = Weights([array.shape for array in start])
    model = keras.Sequential([keras.Input((sum(array.size for array in start),)), layer])
    for part, value in zip(layer.parts, start, strict=True):
        part.assign(value)
    model.compile(optimizer, Output(), run_eagerly=eager)
    return model


def follow(model: keras.Model, gradients: list[np.ndarray], callbacks: Any = ()) -> keras.Model:
    """Train with these gradients, one a step."""
    x = np.concatenate([array.reshape(len(array), -1) for array in gradients], axis=1)
    y = np.zeros((len(x), 1), "float32")
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=list(callbacks))
    return model


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of the weights."""
    return snapshot(list(model.layers[-1].parts))


def state_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of the variables of the optimizer, in their order."""
    return snapshot(list(model.optimizer.variables))


def traces_of(model: keras.Model) -> int:
    """How often Python ran the train step: once for each compilation."""
    return model.layers[-1].traces
