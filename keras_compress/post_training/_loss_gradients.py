"""Gradients of the loss with respect to weights, over calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.gradients import value_and_grad


def loss_gradients(
    model: keras.Model,
    variables: Sequence[keras.Variable],
    data: Any,
    batch_size: int,
    loss: Any,
) -> list[np.ndarray]:
    """Float64 gradients of the mean loss, one for each variable.

    Raises:
        ValueError: If the data have no labels.
    """
    totals = [np.zeros(tuple(variable.shape)) for variable in variables]
    count = 0
    for x, y, sample_weight in iterate_batches(data, batch_size):
        if y is None:
            raise ValueError("`data` holds no labels, and the solver needs gradients of the loss.")
        _, gradients, _ = value_and_grad(
            model, x, y, loss=loss, sample_weight=sample_weight, variables=list(variables)
        )
        size = batch_length(x)
        for total, gradient in zip(totals, gradients, strict=True):
            total += size * ops.convert_to_numpy(gradient).astype("float64")
        count += size
    if not count:
        raise ValueError("`data` holds no samples.")
    return [total / count for total in totals]
