"""What a picture shows, and how its numbers are had from weightings and losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_reweight.gradients import make_input_gradient

Curve = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Picture:
    """Labels of the axes, and the function that computes the curves by their labels."""

    x: str
    y: str
    curves: Callable[[], dict[str, Curve]]
    log_x: bool = False


def weights(weighting, losses: np.ndarray, **inputs) -> np.ndarray:
    """Weights of one batch, in the scale in which uniform weights are one."""
    losses = np.asarray(losses, "float32")
    return ops.convert_to_numpy(weighting.sample_weights(losses, **inputs))


def slopes(function: Callable, values: np.ndarray) -> np.ndarray:
    """Gradient of the sum of `function(values)` with respect to every value."""
    gradient = make_input_gradient(function)
    return ops.convert_to_numpy(gradient(np.asarray(values, "float32")))


def loss_slopes(loss: keras.losses.Loss, y_true: np.ndarray, y_pred: np.ndarray) -> np.ndarray:
    """Gradient of every sample's loss with respect to its predictions, times the batch size."""
    return len(y_pred) * slopes(lambda values: loss(y_true, values), y_pred)


def binary_logits(margins: np.ndarray) -> np.ndarray:
    """Logits of two classes whose first leads by the margin."""
    margins = np.asarray(margins, "float32")
    return np.stack([margins, np.zeros_like(margins)], axis=-1)
