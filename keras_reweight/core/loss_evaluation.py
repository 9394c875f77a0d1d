"""A loss taken apart into its values per sample and its reduction, computed once."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from keras.src.backend import get_keras_mask
from keras.src.losses.loss import reduce_weighted_values


class LossEvaluation:
    """The values of a loss on one batch, before reduction, and how the loss would reduce them.

    Args:
        loss: A `keras.losses.Loss` that gives one value per sample or per entry of a sample.
        y_true: Targets.
        y_pred: Predictions; their Keras mask counts.
        output: Name of the output, for error messages.

    Attributes:
        losses: Float32 values of shape `(batch,)` or `(batch, ...)`; carry gradients.
        mask: Boolean tensor broadcastable to `losses`, or `None`: entries that count, by the mask
            of the predictions and what the loss itself ignores (`ignore_class`).
    """

    def __init__(self, loss: keras.losses.Loss, y_true: Any, y_pred: Any, output: str = "output"):
        self._loss, self._y_true, self._y_pred = loss, y_true, y_pred

        def convert(tensor):
            return ops.convert_to_tensor(tensor, dtype=loss.dtype)

        values = loss.call(
            keras.tree.map_structure(convert, y_true), keras.tree.map_structure(convert, y_pred)
        )
        if len(values.shape) == 0:
            raise ValueError(
                f"The loss {loss.name!r} of output {output!r} gives one scalar for the whole "
                "batch; weighting samples needs a loss whose `call` returns one value per sample."
            )
        self._values = values
        self.losses = ops.cast(values, "float32")
        self.mask = _both(keras_mask(y_pred), keras_mask(values))

    def reduce(self, sample_weight: Any):
        """What the loss returns for this batch with these weights."""
        if type(self._loss).__call__ is not keras.losses.Loss.__call__:
            return self._loss(self._y_true, self._y_pred, sample_weight)
        return reduce_weighted_values(
            self._values,
            sample_weight=sample_weight,
            mask=self.mask,
            reduction=self._loss.reduction,
            dtype=self._loss.dtype,
        )


def keras_mask(tensor: Any):
    """The mask Keras attached to a tensor, or `None`."""
    mask = get_keras_mask(tensor)
    return None if mask is None else ops.convert_to_tensor(mask)


def _both(first, second):
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)
