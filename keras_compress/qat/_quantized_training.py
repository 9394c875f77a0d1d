"""Base of callbacks that act on quantized weights inside the compiled train step."""

from __future__ import annotations

import weakref
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.qat._targets import Target, find_matrices
from keras_reweight.core.masks import (
    add_optimizer_variable,
    remove_optimizer_variable,
    update_optimizer,
)
from keras_reweight.core.replicas import num_replicas
from keras_reweight.core.state import rebuild_step_functions, sync_model
from keras_reweight.core.training_callback import TrainingCallback
from keras_reweight.core.update_hooks import add_update_hook, remove_update_hook
from keras_reweight.core.variable_memory import add_variable_memory


class QuantizedTraining(TrainingCallback):
    """Surrounds the update of quantized variables; what it remembers belongs to the optimizer.

    Subclasses define `before_update` and `after_update`, and where they need it `find_targets`,
    `initial_state` and `measures`. Steps are batches, counted from the first `fit` with the
    callback; a further `fit` of the same model goes on with the state of the one before.
    """

    def __init__(self, *, layers: Any = None, name: str | None = None):
        super().__init__(name=name)
        self.layers = layers
        self._targets: list[Target] = []
        self._paths: list[str] = []
        self._steps: keras.Variable | None = None
        self._fitted_model: weakref.ref | None = None
        self._training = False

    @property
    def paths(self) -> list[str]:
        """Paths of the variables this callback acts on, or acted on last."""
        return list(self._paths)

    # What subclasses define ------------------------------------------------------------------

    def find_targets(self, model: keras.Model) -> list[Target]:
        return find_matrices(model, self.layers, self.name)

    def initial_state(self, target: Target) -> dict[str, np.ndarray]:
        """What to remember of a variable, and the values at the beginning."""
        return {}

    def before_update(self, target: Target, gradient: Any, step: Any) -> tuple[Any, Any]:
        """The gradient the optimizer gets, and what `after_update` must know."""
        return gradient, None

    def after_update(self, target: Target, kept: Any, step: Any) -> None:
        pass

    def measures(self) -> dict[str, float]:
        """What the logs of an epoch get."""
        return {}

    # Attaching -------------------------------------------------------------------------------

    def on_attach(self, model: keras.Model) -> None:
        if num_replicas(model) > 1:
            raise ValueError(
                f"Callback {self.name!r} needs the gradients of the whole batch, but under the "
                f"distribution strategy of model {model.name!r} each of {num_replicas(model)} "
                "replicas has its own. Use one replica, or JAX with keras.distribution."
            )
        targets = self.find_targets(model)
        optimizer = update_optimizer(model)
        sync_model(model)
        for number, target in enumerate(targets):
            for key, initial in self.initial_state(target).items():
                name = f"{self.name}_{key}_{number}_{target.path.replace('/', '_')}"
                target.state[key] = add_variable_memory(
                    optimizer, target.variable, initial, name=name
                )
        self._steps = add_optimizer_variable(
            optimizer, np.asarray(0, "int32"), name=f"{self.name}_steps"
        )
        self._targets, self._paths = targets, [target.path for target in targets]
        add_update_hook(model, self._around_update)
        same_model = self._fitted_model is not None and self._fitted_model() is model
        if same_model and set(self._last_state) == set(self._variables()):
            self.set_host_state(self._last_state)

    def on_detach(self, model: keras.Model) -> None:
        if self._steps is None:
            return
        if self._training:
            self._fitted_model = weakref.ref(model)
        remove_update_hook(model, self._around_update)
        optimizer = update_optimizer(model)
        for variable in self._variables().values():
            remove_optimizer_variable(optimizer, variable)
        self._targets, self._steps, self._training = [], None, False
        rebuild_step_functions(model)

    def _around_update(self, gradients, variables, update):
        assert self._steps is not None
        step = ops.copy(ops.convert_to_tensor(self._steps))
        places = {id(variable): place for place, variable in enumerate(variables)}
        seen = []
        for target in self._targets:
            place = places.get(id(target.variable))
            if place is None or gradients[place] is None:
                continue
            gradient = ops.convert_to_tensor(gradients[place])
            gradients[place], kept = self.before_update(target, gradient, step)
            seen.append((target, kept))
        update(gradients)
        for target, kept in seen:
            self.after_update(target, kept, step)
        self._steps.assign(step + 1)

    # State -----------------------------------------------------------------------------------

    def _variables(self) -> dict[str, keras.Variable]:
        """What is remembered, by number: paths differ between a model and its loaded copy."""
        assert self._steps is not None
        found = {"step": self._steps}
        for number, target in enumerate(self._targets):
            found |= {f"{key}/{number}": variable for key, variable in target.state.items()}
        return found

    def host_state(self) -> dict[str, np.ndarray]:
        if self._steps is None:
            return dict(self._last_state)
        return {key: _host(variable) for key, variable in self._variables().items()}

    def set_host_state(self, state: dict[str, np.ndarray]) -> None:
        variables = self._variables()
        if set(state) != set(variables):
            raise ValueError(
                f"Callback {self.name!r}: the state must hold {sorted(variables)}, it holds "
                f"{sorted(state)}. It belongs to another model or other arguments."
            )
        for key, variable in variables.items():
            if np.shape(state[key]) != tuple(variable.shape):
                raise ValueError(
                    f"Callback {self.name!r}: state {key!r} must have shape "
                    f"{tuple(variable.shape)}, got {np.shape(state[key])}."
                )
        for key, variable in variables.items():
            dtype = keras.backend.standardize_dtype(variable.dtype)
            variable.assign(np.array(state[key], dtype))

    def remembered(self, key: str) -> dict[str, np.ndarray]:
        """Path -> present or last known array of one kind of state."""
        state = self.get_state()
        return {
            path: state[f"{key}/{number}"]
            for number, path in enumerate(self._paths)
            if f"{key}/{number}" in state
        }

    # Training --------------------------------------------------------------------------------

    def on_train_begin(self, logs=None) -> None:
        self._training = True
        super().on_train_begin(logs)

    def on_epoch_end(self, epoch, logs=None) -> None:
        if logs is None or self._steps is None:
            return
        sync_model(self._attached_to)
        for key, value in self.measures().items():
            logs[key if key not in logs else f"{self.name}_{key}"] = float(value)

    # Copies and configs ----------------------------------------------------------------------

    def __deepcopy__(self, memo):
        live = self._targets, self._steps, self._training
        self._targets, self._steps, self._training = [], None, False
        try:
            return super().__deepcopy__(memo)
        finally:
            self._targets, self._steps, self._training = live

    def get_config(self) -> dict:
        return {"layers": self.layers, **super().get_config()}


def share(arrays: Any) -> float:
    """Share of true entries in several arrays together; zero of nothing."""
    arrays = list(arrays)
    size = sum(array.size for array in arrays)
    return sum(int(np.count_nonzero(array)) for array in arrays) / size if size else 0.0


def _host(variable):
    return np.array(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
