"""Quantile levels as users pass them, and targets beside predicted quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops


def check_quantiles(name: str, value: Any) -> np.ndarray:
    """Float64 levels of shape `(levels,)`, or an error that names the argument.

    Raises:
        TypeError: If `value` is not a list of numbers.
        ValueError: If it is empty, a level is outside (0, 1), or the levels do not increase.
    """
    if not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(f"`{name}` must be a list of levels, got {value!r}.")
    try:
        levels = np.asarray(value, "float64")
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must hold numbers, got {value!r}.") from error
    if levels.ndim != 1 or not levels.size:
        raise ValueError(f"`{name}` must be a list of one or more levels, got {value!r}.")
    if not ((levels > 0) & (levels < 1)).all():
        raise ValueError(f"`{name}` must lie strictly between 0 and 1, got {value!r}.")
    if not (np.diff(levels) > 0).all():
        raise ValueError(f"`{name}` must increase, got {value!r}.")
    return levels


def quantile_errors(y_true: Any, y_pred: Any, num_quantiles: int):
    """`y_true - y_pred` of shape `(..., quantiles)` for targets of shape `(...)` or `(..., 1)`.

    Raises:
        ValueError: If the shapes do not fit each other or the number of levels.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    found, wanted = tuple(y_true.shape), tuple(y_pred.shape)
    if len(wanted) < 2 or wanted[-1] != num_quantiles:
        raise ValueError(
            f"`y_pred` must hold one value for each of the {num_quantiles} quantiles, shape "
            f"(batch, ..., {num_quantiles}), got shape {wanted}."
        )
    if len(found) == len(wanted) - 1:
        y_true = ops.expand_dims(y_true, axis=-1)
    elif not (len(found) == len(wanted) and found[-1] == 1):
        raise ValueError(
            f"`y_true` of shape {found} does not fit `y_pred` of shape {wanted}: pass one target "
            f"for each sample, shape {wanted[:-1]}."
        )
    return y_true - y_pred
