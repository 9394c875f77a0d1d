"""A `keras.losses.Loss` for anything that `compile(loss=...)` accepts for one output."""

from __future__ import annotations

from typing import Any

import keras
from keras.src.losses.losses import LossFunctionWrapper


def resolve_loss(loss: Any, argument: str = "loss") -> keras.losses.Loss:
    """Turn a name, function or `Loss` into a `Loss` with per-sample values.

    Raises:
        ValueError: If a name is unknown to Keras.
        TypeError: If `loss` is none of these.
    """
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(loss, (str, dict)):
        loss = keras.losses.get(loss)
        if isinstance(loss, keras.losses.Loss):
            return loss
    if callable(loss):
        name = getattr(loss, "__name__", type(loss).__name__)
        # The name becomes a name scope, which TensorFlow refuses for "<lambda>".
        return LossFunctionWrapper(loss, name=name if name.isidentifier() else "loss")
    raise TypeError(
        f"`{argument}` must be a loss name, a function of (y_true, y_pred) or a keras.losses.Loss, "
        f"got {loss!r} of type {type(loss).__name__}."
    )
