"""Class labels in the forms Keras users pass them: integers, `(batch, 1)`, one-hot or soft."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def labels_like(y_true: Any, y_pred: Any):
    """Labels as class probabilities of the shape and dtype of the scores `y_pred`.

    Args:
        y_true: Class ids of shape `(...)` or `(..., 1)`, any dtype, or one-hot or soft labels of
            shape `(..., classes)`.
        y_pred: Float tensor of shape `(..., classes)` with a static last axis.

    Returns:
        Float tensor of the shape of `y_pred`. Ids outside `[0, classes)` give rows of zeros.

    Raises:
        ValueError: If the shapes do not fit each other.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    num_classes = y_pred.shape[-1]
    check_label_shapes(y_true, y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == num_classes:
        return ops.cast(y_true, y_pred.dtype)
    # Compared rather than `one_hot`, which torch refuses for ids outside the classes.
    ids = ops.expand_dims(_ids(y_true, y_pred), axis=-1)
    return ops.cast(ids == ops.arange(num_classes, dtype="int32"), y_pred.dtype)


def class_ids(y_true: Any, y_pred: Any):
    """Labels as int32 class ids of the shape of `y_pred` without its last axis."""
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    check_label_shapes(y_true, y_pred)
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1]:
        return ops.cast(ops.argmax(y_true, axis=-1), "int32")
    return _ids(y_true, y_pred)


def check_label_shapes(y_true: Any, y_pred: Any) -> None:
    """Raise unless `y_true` holds one label for every row of scores in `y_pred`."""
    shape, scores = tuple(y_true.shape), tuple(y_pred.shape)
    if len(scores) < 2 or scores[-1] is None or scores[-1] < 2:
        raise ValueError(
            "`y_pred` must hold scores of at least two classes on its last axis, shape "
            f"(batch, ..., classes), got shape {scores}."
        )
    fits = len(shape) == len(scores) - 1 or (
        len(shape) == len(scores) and shape[-1] in (1, scores[-1])
    )
    known = zip(shape[: len(scores) - 1], scores[:-1], strict=False)
    if not fits or any(None not in pair and pair[0] != pair[1] for pair in known):
        raise ValueError(
            f"`y_true` of shape {shape} does not fit `y_pred` of shape {scores}: pass class ids of "
            f"shape {scores[:-1]}, or one-hot labels of shape {scores}."
        )


def _ids(y_true, y_pred):
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, axis=-1)
    return ops.cast(y_true, "int32")


def check_class_counts(name: str, value: Any) -> np.ndarray:
    """Float64 counts of shape `(classes,)`, or an error that names the argument.

    Raises:
        TypeError: If `value` is not a sequence of numbers.
        ValueError: If there are fewer than two classes, or a count is not finite and positive.
    """
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__"):
        raise TypeError(f"`{name}` must be a list of samples per class, got {value!r}.")
    try:
        counts = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must hold numbers, got {value!r}.") from error
    if counts.ndim != 1 or counts.size < 2:
        raise ValueError(f"`{name}` must be a list of two or more numbers, got {value!r}.")
    if not (np.isfinite(counts) & (counts > 0)).all():
        raise ValueError(f"`{name}` must be positive for every class, got {value!r}.")
    return counts
