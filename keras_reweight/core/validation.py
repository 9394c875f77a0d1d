"""Argument checks that name the argument, the value and what would be right."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
) -> None:
    """Raise unless `value` is a finite real number inside the stated bounds."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        raise TypeError(f"`{name}` must be a number, got {value!r} of type {type(value).__name__}.")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"`{name}` must be finite, got {value!r}.")
    bounds = []
    if minimum is not None:
        bounds.append((number >= minimum, f">= {minimum}"))
    if exclusive_minimum is not None:
        bounds.append((number > exclusive_minimum, f"> {exclusive_minimum}"))
    if maximum is not None:
        bounds.append((number <= maximum, f"<= {maximum}"))
    if exclusive_maximum is not None:
        bounds.append((number < exclusive_maximum, f"< {exclusive_maximum}"))
    if not all(holds for holds, _ in bounds):
        wanted = " and ".join(text for _, text in bounds)
        raise ValueError(f"`{name}` must be {wanted}, got {value!r}.")


def check_integer(
    name: str, value: Any, *, minimum: int | None = None, maximum: int | None = None
) -> None:
    """Raise unless `value` is an integer (not a bool) inside the stated bounds."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Integral, np.integer)):
        raise TypeError(
            f"`{name}` must be an integer, got {value!r} of type {type(value).__name__}."
        )
    check_number(name, value, minimum=minimum, maximum=maximum)


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Raise unless `value` is one of `choices`."""
    choices = list(choices)
    if not any(value is choice or value == choice for choice in choices):
        raise ValueError(f"`{name}` must be one of {choices}, got {value!r}.")


def check_boolean(name: str, value: Any) -> None:
    """Raise unless `value` is `True` or `False`."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {value!r}.")


def check_sparsity(name: str, value: Any) -> None:
    """Raise unless `value` is a share of zeros in `[0, 1)`."""
    check_number(name, value, minimum=0.0, exclusive_maximum=1.0)


def check_built(model: Any, caller: str, argument: str = "model") -> None:
    """Raise unless `model` is a built Keras model; `argument` is its name in messages."""
    import keras

    if not isinstance(model, keras.Model):
        raise TypeError(
            f"{caller}: `{argument}` must be a keras.Model, got {model!r} of type "
            f"{type(model).__name__}."
        )
    if not model.built:
        raise ValueError(
            f"{caller}: `{argument}` ({model.name!r}) is not built, so it has no weights yet. "
            "Call it on a batch, pass a keras.Input, or call `model.build(input_shape)` first."
        )
