"""The gradients of the last training step, kept where the host can read them."""

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
from keras_reweight.core.replicas import num_replicas
from keras_reweight.core.state import rebuild_step_functions, sync_model
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook


class LastGradients:
    """Copies the gradients of some variables in every step, before clipping; zeros at first.

    They are those of the unmasked weights where a mask holds the weights at zero. With gradient
    accumulation they are those of the last batch. A step that gives no finite gradients (loss
    scaling) leaves those of the step before.

    Args:
        model: A built and compiled `keras.Model`.
        variables: Trainable variables of `model`.
        name: String, prefix of the names of the variables that hold the gradients.

    Raises:
        ValueError: If the model trains on several replicas of `tf.distribute`.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable], name: str):
        if num_replicas(model) > 1:
            raise ValueError(
                f"The gradients of model {model.name!r} are needed for the whole batch, but under "
                f"its distribution strategy each of {num_replicas(model)} replicas has its own. "
                "Use one replica, or JAX with keras.distribution."
            )
        self._model = model
        self._variables = list(variables)
        self._optimizer = update_optimizer(model)
        sync_model(model)
        self._gradients = [
            add_optimizer_variable(
                self._optimizer,
                np.zeros(tuple(variable.shape), "float32"),
                name=f"{name}_gradient_{variable.path.replace('/', '_')}",
                layout=getattr(variable, "_layout", None),
            )
            for variable in self._variables
        ]
        add_update_hook(model, self._keep)

    def _keep(self, gradients, variables, update):
        held = dict(zip(map(id, self._variables), self._gradients, strict=True))
        for gradient, variable in zip(gradients, variables, strict=True):
            if gradient is not None and id(variable) in held:
                held[id(variable)].assign(ops.cast(gradient, "float32"))
        update(gradients)

    def read(self) -> list[np.ndarray]:
        """Host copies of the gradients."""
        sync_model(self._model)
        return [
            np.array(ops.convert_to_numpy(ops.convert_to_tensor(kept))) for kept in self._gradients
        ]

    def write(self, gradients: Sequence[np.ndarray]) -> None:
        """Put gradients back that `read` gave."""
        sync_model(self._model)
        for kept, gradient in zip(self._gradients, gradients, strict=True):
            kept.assign(np.array(gradient, "float32"))

    def remove(self) -> None:
        """Drop the variables from the optimizer."""
        remove_update_hook(self._model, self._keep)
        for kept in self._gradients:
            remove_optimizer_variable(self._optimizer, kept)
        rebuild_step_functions(self._model)
