"""Checks that the wrappers of adversarial training share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def check_kind(argument: str, value: Any, kind: type) -> None:
    """Raise a `TypeError` unless `value` is a `kind`."""
    if not isinstance(value, kind):
        raise TypeError(
            f"`{argument}` must be a {kind.__name__}, got {value!r} of type {type(value).__name__}."
        )


def as_floats(x: Any, caller: str) -> Any:
    """The one input of the model as a floating point tensor."""
    if keras.tree.is_nested(x):
        leaves = keras.tree.flatten(x)
        raise TypeError(
            f"{caller} takes models of one input, got {len(leaves)} inputs as {type(x).__name__}."
        )
    # An array where `train_on_batch` runs eagerly.
    x = ops.convert_to_tensor(x)
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return x
    return ops.cast(x, keras.config.floatx())
