"""The one place that decides which backend file the gradient functions stand on."""

from __future__ import annotations

import importlib
from types import ModuleType

import keras

SUPPORTED = ("jax", "tensorflow", "torch")


def active_backend() -> ModuleType:
    """The module of the running Keras backend: the same functions in all three.

    Raises:
        NotImplementedError: On a backend without automatic differentiation.
    """
    name = keras.backend.backend()
    if name not in SUPPORTED:
        raise NotImplementedError(
            f"Gradients need one of the Keras backends {list(SUPPORTED)}, the running one is "
            f"{name!r}. Set `KERAS_BACKEND` before importing keras."
        )
    return importlib.import_module(f"keras_reweight.core.gradients._{name}")
