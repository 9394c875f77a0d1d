"""Losses with memory: their variables live in the model while it trains."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common.symbolic_scope import in_symbolic_scope

from keras_reweight.core.state import StateCarrier


class LossMemory:
    """Reads and writes the state of one loss; the variables belong to a carrier of the model."""

    def __init__(self, carrier: StateCarrier, prefix: str, keys: list[str]):
        self._carrier, self._prefix, self._keys = carrier, prefix, keys

    def __getitem__(self, key: str):
        return self._carrier.value(self._prefix + key)

    def assign(self, key: str, value: Any) -> None:
        self._carrier[self._prefix + key].assign(value)

    def read(self) -> dict[str, np.ndarray]:
        """Host copies of all entries."""
        values = self._carrier.read()
        return {key: values[self._prefix + key] for key in self._keys}


class FinalMemory:
    """What a loss remembers after training: constants."""

    def __init__(self, values: dict[str, np.ndarray]):
        self._values = values

    def __getitem__(self, key: str):
        return ops.convert_to_tensor(self._values[key])

    def read(self) -> dict[str, np.ndarray]:
        return {key: np.array(value) for key, value in self._values.items()}


class StatefulLoss(keras.losses.Loss):
    """A loss that remembers something from step to step.

    Variables that a loss owns are constants inside a jitted JAX step. The `LossState` callback
    gives the loss variables that the model owns: during `fit` `self.memory` is a `LossMemory`,
    and `advance` is called in every training step before the loss is computed, never in
    validation. After `fit` `self.memory` holds the last values as constants; before, and without
    the callback, it is `None` and `call` must do without it or say that it cannot.
    """

    #: `LossMemory`, `FinalMemory` or `None`, as said above.
    memory: Any = None

    def state_spec(self) -> dict[str, np.ndarray]:
        """Initial values of the variables, by name."""
        raise NotImplementedError(f"{type(self).__name__} must define state_spec().")

    def advance(self, y_true: Any, y_pred: Any, sample_weight: Any) -> None:
        """Update `self.memory` with a training batch; tensors are those the loss gets."""
        raise NotImplementedError(f"{type(self).__name__} must define advance(...).")

    def refresh(self, model: keras.Model) -> dict[str, np.ndarray]:
        """Values from outside the step (a learning rate) to remember before each epoch.

        Also called when a fit begins, before anything is changed: raise here what `fit` must not
        begin with.
        """
        return {}

    def __deepcopy__(self, memo):
        clone = type(self).from_config(self.get_config())
        memo[id(self)] = clone
        return clone


def stateful_losses(losses: Any) -> list[StatefulLoss]:
    """The stateful losses in what was passed to `compile`, each once, also inside wrappers."""
    found: list[StatefulLoss] = []
    for loss in keras.tree.flatten(losses):
        while loss is not None and not isinstance(loss, StatefulLoss):
            loss = getattr(loss, "loss", None) if isinstance(loss, keras.losses.Loss) else None
        if loss is not None and not any(loss is known for known in found):
            found.append(loss)
    return found


def only_shapes_matter() -> bool:
    """Whether Keras calls a loss only for its shape, as the JAX trainer does before callbacks."""
    return in_symbolic_scope()
