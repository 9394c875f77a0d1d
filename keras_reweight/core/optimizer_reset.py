"""An optimizer as it was before its first step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.masks import update_optimizer
from keras_reweight.core.state import sync_model


class OptimizerStart:
    """Takes the optimizer of a model back to where it is now, without compiling anew.

    Iterations, learning rate and everything remembered of the weights begin anew; what begins as a
    copy of the weights takes their present values. An optimizer that has been replaced in the
    meantime is left alone.

    Args:
        model: A compiled `keras.Model`, or one without an optimizer, for which nothing happens.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._optimizer: Any = getattr(model, "optimizer", None)
        self._config = None if self._optimizer is None else self._optimizer.get_config()

    @property
    def iterations(self) -> int:
        """Steps of the optimizer the model has now."""
        optimizer = getattr(self._model, "optimizer", None)
        if optimizer is None:
            return 0
        sync_model(self._model)
        inner = getattr(optimizer, "inner_optimizer", optimizer)
        return int(ops.convert_to_numpy(ops.convert_to_tensor(inner._iterations)))

    def restore(self, *, iterations: int = 0) -> None:
        """Begin anew, at this step."""
        if (
            self._optimizer is None
            or getattr(self._model, "optimizer", None) is not self._optimizer
        ):
            return
        optimizer: Any = self._optimizer
        inner = update_optimizer(self._model)
        sync_model(self._model)
        kind: Any = type(optimizer)
        twin = kind.from_config(self._config)
        twin.build(self._model.trainable_variables)
        variables: Any = optimizer.variables
        for variable, fresh in zip(variables, twin.variables, strict=True):
            variable.assign(ops.copy(ops.convert_to_tensor(fresh)))
        parts: dict[int, Any] = {id(part): part for part in (optimizer, inner)}
        for part in parts.values():
            part._iterations.assign(iterations)
