"""Running Keras code on other values than the variables hold, without writing anything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src import backend as keras_backend


class GradientScope(keras.StatelessScope):
    """A `StatelessScope` that falls back on the scope around it and tells what is read.

    Nested inside a train step (where JAX variables hold no value of their own), a variable that is
    not mapped here takes its value from the outer scope.
    """

    def __init__(self, mapping, on_read: Callable[[keras.Variable, bool], None] | None = None):
        super().__init__(state_mapping=mapping, collect_losses=True)
        self._initial = dict(self.state_mapping)
        self._outer = keras_backend.get_stateless_scope()
        self._on_read = on_read

    def get_current_value(self, variable):
        value = super().get_current_value(variable)
        mapped = value is not None
        if not mapped and self._outer is not None:
            value = self._outer.get_current_value(variable)
        if self._on_read is not None:
            self._on_read(variable, mapped)
        return value

    def changed(self, variable) -> bool:
        """Whether the code inside assigned to a mapped variable."""
        initial = self._initial.get(id(variable))
        return initial is not None and self.state_mapping[id(variable)] is not initial


def in_stateless_scope() -> bool:
    """Whether some code is already running on values instead of variables."""
    return keras_backend.in_stateless_scope()


def keras_mask(tensor: Any) -> Any:
    """The mask Keras attached to a tensor, or `None`."""
    return keras_backend.get_keras_mask(tensor)


@contextlib.contextmanager
def keep_losses(model: keras.layers.Layer) -> Iterator[None]:
    """Put the `add_loss` records of all layers back: a call of the model clears them.

    Inside `compute_loss` they belong to the forward pass of the training step.
    """
    layers = list(model._flatten_layers())
    saved = [(layer, list(layer._losses), set(layer._loss_ids)) for layer in layers]
    overrides = [(layer, layer._losses_override) for layer in layers if layer._losses_override]
    for layer, _ in overrides:
        object.__setattr__(layer, "_losses_override", [])
    try:
        yield
    finally:
        for layer, losses, ids in saved:
            layer._losses[:] = losses
            layer._loss_ids.clear()
            layer._loss_ids.update(ids)
        for layer, override in overrides:
            object.__setattr__(layer, "_losses_override", override)
