"""Small models twice: in Keras, and in float64 NumPy with gradients by central differences.

Nothing here uses the code under test. The weights come from NumPy, so the numbers are the same on
every backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def derivative(function: Callable, at: np.ndarray, step: float) -> np.ndarray:
    """`d function / d at[k]` along a new last axis, by differences of fourth order."""
    columns = []
    for index in range(at.size):
        shift = np.zeros_like(at)
        shift[index] = step
        values = [function(at + factor * shift) for factor in (-2, -1, 1, 2)]
        columns.append((values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step))
    return np.stack(columns, axis=-1)


def cross_entropy(logits, labels):
    logits = logits - logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, labels[:, None], axis=-1)[:, 0]


class Reference(NamedTuple):
    """A Keras model, its data, and per-sample losses of the same model in NumPy."""

    model: keras.Model
    x: np.ndarray
    y: np.ndarray
    loss: object
    losses: Callable  # (list of weights, x, y) -> (batch,)

    @property
    def weights(self):
        return [np.asarray(v, "float64") for v in self.model.trainable_variables]

    def split(self, flat):
        """A flat array as arrays of the shapes of the weights; leading axes are kept."""
        parts, start = [], 0
        for weight in self.weights:
            part = flat[..., start : start + weight.size]
            parts.append(part.reshape(*flat.shape[:-1], *weight.shape))
            start += weight.size
        return parts

    def flat_losses(self, flat):
        return self.losses(self.split(flat), self.x, self.y)

    def flat_weights(self):
        return np.concatenate([weight.ravel() for weight in self.weights])

    def jacobian(self, at=None):
        """Per-sample gradients, `(batch, number of weights)`."""
        return derivative(self.flat_losses, self.flat_weights() if at is None else at, 1e-3)

    def hessian_product(self, vector):
        """Hessian of the mean loss times a flat vector."""
        start = self.flat_weights()
        gradient = lambda t: self.jacobian(start + t[0] * vector).mean(axis=0)  # noqa: E731
        return derivative(gradient, np.zeros(1), 1e-3)[..., 0]

    def input_gradients(self):
        """Row `i`: gradient of the loss of sample `i` by its input."""
        rows = []
        for index in range(len(self.x)):
            label = self.y[index : index + 1]
            shape = (1, *self.x.shape[1:])
            function = lambda flat, label=label, shape=shape: self.losses(  # noqa: E731
                self.weights, flat.reshape(shape), label
            )[0]
            rows.append(derivative(function, self.x[index].astype("float64").ravel(), 1e-3))
        return np.stack(rows).reshape(self.x.shape)

    def vector(self, seed=7):
        """A direction in weight space: flat, and as a list of float32 arrays."""
        flat = np.random.default_rng(seed).normal(size=self.flat_weights().size)
        flat = flat.astype("float32").astype("float64")
        return flat, [part.astype("float32") for part in self.split(flat)]


def set_weights(model: keras.Model, seed: int = 0) -> None:
    """NumPy weights, float32 exactly; variances positive."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        value = generator.normal(scale=0.6, size=variable.shape)
        if "variance" in variable.path:
            value = 0.5 + np.abs(value)
        variable.assign(value.astype("float32"))


def dense_reference() -> Reference:
    """Dense, tanh, Dense, softmax cross entropy; Sequential."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=(5, 3)).astype("float32")
    y = np.array([0, 2, 1, 1, 0])
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="tanh"), layers.Dense(3)]
    )
    set_weights(model)

    def losses(weights, x, y):
        w1, b1, w2, b2 = weights
        return cross_entropy(np.tanh(x @ w1 + b1) @ w2 + b2, y)

    return Reference(model, x, y, SPARSE, losses)


def token_reference() -> Reference:
    """Embedding with repeated tokens, Dense at every position, LayerNormalization; Functional."""
    generator = np.random.default_rng(2)
    x = np.array([[1, 1, 3, 0], [2, 2, 2, 2], [0, 1, 2, 3], [3, 0, 0, 3]])
    y = generator.normal(size=(4, 2)).astype("float32")
    inputs = keras.Input((4,), dtype="int32")
    hidden = layers.Embedding(4, 3)(inputs)
    hidden = layers.Dense(3, activation="tanh")(hidden)
    hidden = layers.LayerNormalization(epsilon=1e-2)(hidden)
    outputs = layers.Dense(2)(layers.GlobalAveragePooling1D()(hidden))
    model = keras.Model(inputs, outputs)
    set_weights(model)

    def losses(weights, x, y):
        table, w1, b1, gamma, beta, w2, b2 = weights
        hidden = np.tanh(table[x] @ w1 + b1)
        centered = hidden - hidden.mean(-1, keepdims=True)
        scale = np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-2)
        hidden = centered / scale * gamma + beta
        return ((hidden.mean(1) @ w2 + b2 - y) ** 2).mean(-1)

    return Reference(model, x, y, keras.losses.MeanSquaredError(), losses)


class ImageModel(keras.Model):
    """A subclassed model without a `training` argument."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(2, 2, strides=2, activation="tanh")
        self.normalization = layers.BatchNormalization(epsilon=1e-2)
        self.pooling = layers.GlobalAveragePooling2D()
        self.head = layers.Dense(2)

    def call(self, inputs):
        return self.head(self.pooling(self.normalization(self.convolution(inputs))))


def image_reference() -> Reference:
    """Conv2D, BatchNormalization in inference mode, Dense; subclassed."""
    generator = np.random.default_rng(3)
    x = generator.normal(size=(4, 4, 4, 2)).astype("float32")
    y = np.array([[1, 0], [0, 1], [0, 1], [1, 0]], "float32")
    model = ImageModel()
    model(x)
    set_weights(model)
    statistics = [np.asarray(v, "float64") for v in model.non_trainable_variables]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)

    def losses(weights, x, y):
        kernel, bias, gamma, beta, w, b = weights
        mean, variance = statistics
        rows = [
            [np.einsum("bijc,ijcf->bf", x[:, r : r + 2, c : c + 2], kernel) + bias for c in (0, 2)]
            for r in (0, 2)
        ]
        hidden = np.tanh(np.stack([np.stack(row, 1) for row in rows], 1))
        hidden = (hidden - mean) / np.sqrt(variance + 1e-2) * gamma + beta
        return cross_entropy(hidden.mean((1, 2)) @ w + b, y.argmax(-1))

    return Reference(model, x, y, loss, losses)


REFERENCES = {
    "dense": dense_reference,
    "tokens": token_reference,
    "images": image_reference,
}


def snapshot(model: keras.Model) -> list[np.ndarray]:
    """Copies of all variables of a model, seeds and statistics included."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]


def assert_unchanged(model: keras.Model, before: list[np.ndarray]) -> None:
    """Raise unless the variables hold bit for bit what they held."""
    for variable, old in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(variable), old, err_msg=variable.path
        )
