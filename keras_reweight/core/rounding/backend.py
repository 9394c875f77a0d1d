"""The one place that decides which backend file rounding stands on."""

from __future__ import annotations

import importlib
from types import ModuleType

import keras

SUPPORTED = ("jax", "tensorflow", "torch")


def rounding() -> ModuleType:
    """The module of the running Keras backend: the same functions in all three.

    With the position `p = x / scale + zero_point` of a value among codes from `low` to `high`:
    `nearest` and `learned_step` give `scale * (round(limit(p, low, high)) - zero_point)`;
    `nearest_inside` rounds before it adds the zero point, a whole number. `scale`, `zero_point` and
    `offset` are tensors that broadcast to `x`; the zero point may be a number. Derivatives of
    `learned_step` with respect to `x`, `scale` and `offset` (or `None`), for `low < p < high`: 1,
    `round(p) - p` and 0, otherwise 0, the code and 1. Every derivative counts as a constant, so
    second derivatives are zero; forward and reverse mode agree.

    Raises:
        NotImplementedError: On a backend without automatic differentiation.
    """
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise NotImplementedError(
            f"Rounding with a gradient needs one of the Keras backends {list(SUPPORTED)}, the "
            f"running one is {name!r}. Set `KERAS_BACKEND` before importing keras."
        )
    return importlib.import_module(f"keras_reweight.core.rounding._{name}")
