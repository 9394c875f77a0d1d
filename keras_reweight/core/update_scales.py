"""A factor on the updates of groups of weights, inside the compiled train step."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.masks import (
    add_optimizer_variable,
    remove_optimizer_variable,
    update_optimizer,
)
from keras_reweight.core.state import rebuild_step_functions, sync_model
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook


class UpdateScales:
    """Turns every update `old -> new` into `old + factor * (new - old)`; factors are one at first.

    That is a learning rate of its own under any optimizer, weight decay included. Scaled gradients
    would not be: Adam, for one, does not see their size.

    Args:
        model: A built and compiled `keras.Model`.
        groups: Lists of trainable variables; those of a group share a factor.
        name: String, name of the variable with the factors.
    """

    def __init__(
        self, model: keras.Model, groups: Sequence[Sequence[keras.Variable]], name: str = "scales"
    ):
        self._model = model
        self._optimizer = update_optimizer(model)
        sync_model(model)
        self._groups = {id(v): number for number, group in enumerate(groups) for v in group}
        self._factors = add_optimizer_variable(
            self._optimizer, np.ones(len(groups), "float32"), name=name
        )
        add_update_hook(model, self._scale)

    def _scale(self, gradients, variables, update):
        scaled = [variable for variable in variables if id(variable) in self._groups]
        # Copies: on torch a tensor follows the variable when the update writes it.
        before = [ops.copy(ops.convert_to_tensor(variable)) for variable in scaled]
        update(gradients)
        factors = ops.convert_to_tensor(self._factors)
        for variable, old in zip(scaled, before, strict=True):
            factor = ops.cast(factors[self._groups[id(variable)]], old.dtype)
            variable.assign(old + factor * (ops.convert_to_tensor(variable) - old))

    def read(self) -> np.ndarray:
        """Host copy of the factors."""
        sync_model(self._model)
        return np.array(ops.convert_to_numpy(ops.convert_to_tensor(self._factors)))

    def write(self, factors: np.ndarray) -> None:
        """Assign the factors, one a group."""
        if np.shape(factors) != tuple(self._factors.shape):
            raise ValueError(
                f"`factors` must have shape {tuple(self._factors.shape)}, got {np.shape(factors)}."
            )
        sync_model(self._model)
        self._factors.assign(np.array(factors, "float32"))

    def remove(self) -> None:
        """Take the hook and the variable off the optimizer."""
        remove_update_hook(self._model, self._scale)
        remove_optimizer_variable(self._optimizer, self._factors)
        rebuild_step_functions(self._model)
