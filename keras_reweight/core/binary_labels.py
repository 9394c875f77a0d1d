"""Yes/no labels and scores in the forms Keras users pass them, as columns."""

from __future__ import annotations

from typing import Any

from keras import ops


def binary_columns(y_true: Any, y_pred: Any):
    """Labels and scores, both of shape `(batch, columns)` and of the dtype of the scores.

    Args:
        y_true: Labels 0 or 1 of shape `(batch,)` or of the shape of `y_pred`, any dtype.
        y_pred: Float scores of shape `(batch,)` or `(batch, columns)`, `columns` static.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    shape, scores = tuple(y_true.shape), tuple(y_pred.shape)
    if len(scores) not in (1, 2) or (len(scores) == 2 and scores[-1] is None):
        raise ValueError(f"`y_pred` must have shape (batch,) or (batch, columns), got {scores}.")
    columns = scores[1] if len(scores) == 2 else 1
    fits = len(shape) == 1 and columns == 1 or len(shape) == 2 and shape[1] == columns
    if not fits or (None not in (shape[0], scores[0]) and shape[0] != scores[0]):
        raise ValueError(
            f"`y_true` of shape {shape} does not fit `y_pred` of shape {scores}: pass one label "
            "0 or 1 for every score."
        )
    labels = ops.reshape(ops.cast(y_true, y_pred.dtype), (-1, columns))
    return labels, ops.reshape(y_pred, (-1, columns))
