"""Predictions and labels of segmentation losses as probabilities of one shape."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.labels import labels_like


def as_probabilities(y_true: Any, y_pred: Any, from_logits: bool):
    """Labels and probabilities, both of the shape of `y_pred`, one region a channel.

    Labels may lack the channel axis: they are then those of the one channel, or class ids.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype)
    if len(y_pred.shape) < 2:
        raise ValueError(f"`y_pred` must have shape (batch, ...), got {tuple(y_pred.shape)}.")
    if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, axis=-1)
    known = zip(y_true.shape[1:], y_pred.shape[1:], strict=False)
    fits = len(y_true.shape) == len(y_pred.shape) and all(
        None in pair or pair[0] == pair[1] for pair in known
    )
    if not fits:
        y_true = labels_like(y_true, y_pred)
    probabilities = ops.sigmoid(y_pred) if from_logits else ops.clip(y_pred, 0.0, 1.0)
    return y_true, probabilities
