"""The loss between two trainings, and what their width has to do with it."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture

_CLASSES, _INPUTS = 4, 6
_LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _data():
    """Noisy points around random centers, several a class."""
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(24, _INPUTS))
    which = rng.integers(0, len(centers), 1200)
    x = centers[which] + 0.35 * rng.normal(size=(1200, _INPUTS))
    return x.astype("float32"), which % _CLASSES


def _trained(width, seed):
    """One hidden layer, trained in NumPy by gradient descent with momentum."""
    rng = np.random.default_rng(seed)
    x, y = _data()
    x, targets = x.astype("float64"), np.eye(_CLASSES)[y]
    weights = [
        rng.normal(size=(_INPUTS, width)) * np.sqrt(2 / _INPUTS),
        np.zeros(width),
        rng.normal(size=(width, _CLASSES)) / np.sqrt(width),
        np.zeros(_CLASSES),
    ]
    moved = [np.zeros_like(weight) for weight in weights]
    for _ in range(300):
        rows = rng.integers(0, len(x), 128)
        hidden = np.maximum(x[rows] @ weights[0] + weights[1], 0)
        scores = hidden @ weights[2] + weights[3]
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        error = (scores / scores.sum(-1, keepdims=True) - targets[rows]) / len(rows)
        back = (error @ weights[2].T) * (hidden > 0)
        gradients = [x[rows].T @ back, back.sum(0), hidden.T @ error, error.sum(0)]
        for weight, gradient, move in zip(weights, gradients, moved, strict=True):
            move *= 0.9
            move -= 0.05 * gradient
            weight += move
    model = keras.Sequential(
        [
            keras.Input((_INPUTS,)),
            keras.layers.Dense(width, "relu", kernel_initializer="zeros", name="hidden"),
            keras.layers.Dense(_CLASSES, kernel_initializer="zeros"),
        ]
    )
    model.set_weights(weights)
    return model


def _curves(width, points):
    x, y = _data()
    models = [_trained(width, seed) for seed in (1, 2)]
    matchings = {
        "as they are": None,
        "matched by weights": kr.matching.match_weights(*models),
        "matched by activations": kr.matching.match_activations(*models, x),
    }
    return {
        label: kr.matching.interpolation_curve(
            *models, (x, y), matching, points=points, loss=_LOSS, batch_size=len(x)
        )
        for label, matching in matchings.items()
    }


def _barrier():
    found = _curves(128, 21)
    return {label: (curve.positions, curve.values) for label, curve in found.items()}


def _width():
    widths = (8, 16, 32, 64, 128, 256)
    found = [_curves(width, 11) for width in widths]
    return {
        label: (np.array(widths), np.array([curves[label].barrier for curves in found]))
        for label in found[0]
    }


PICTURES = {
    "barrier": Picture("share of the second network", "loss", _barrier),
    "width": Picture("units of the hidden layer", "barrier of the loss", _width, log_x=True),
}
