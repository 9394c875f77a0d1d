"""Masks that hold inside a compiled train step, under any Keras optimizer.

An optimizer moves a pruned weight even where its gradient is zero: momentum, weight decay and
moving averages see to that. So the mask is applied after every update, by the constraint of the
variable. To be more than a constant of the compiled step the mask has to be a variable that every
trainer threads through the step, and the only such variables a constraint may read are those of
the optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.utils.tracking import DotNotTrackScope

from keras_reweight.core.state import rebuild_step_functions, sync_model


class MaskConstraint(keras.constraints.Constraint):
    """Zero where a mask variable is false; what it replaces still sees the masked weights.

    Args:
        mask: Boolean variable of the shape of the constrained variable.
        inner: The constraint the variable had before, or `None`.
    """

    def __init__(self, mask: keras.Variable, inner: Any = None):
        self.mask = mask
        self.inner = inner

    def __call__(self, weight):
        weight = self._masked(weight)
        return weight if self.inner is None else self._masked(self.inner(weight))

    def _masked(self, weight):
        # The scalar takes the dtype of the weight and, on torch, saves an array of zeros.
        return ops.where(ops.convert_to_tensor(self.mask), ops.convert_to_tensor(weight), 0)


class MaskSet:
    """Boolean masks attached to trainable variables of a compiled model, all true at first.

    Call `remove` when done: until then the masks are variables of the optimizer (which is how
    `save_weights` and `BackupAndRestore` keep them during `fit`).

    Args:
        model: A built and compiled `keras.Model`.
        variables: Trainable variables of `model`.
        name: String, prefix of the names of the mask variables.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable], name: str = "mask"):
        self._model = model
        self._variables = list(variables)
        self._optimizer = update_optimizer(model)
        sync_model(model)
        known = {id(variable) for variable in self._optimizer._trainable_variables}
        for variable in self._variables:
            if id(variable) not in known:
                raise ValueError(
                    f"The optimizer of model {model.name!r} does not train {variable.path!r}. "
                    "Compile the model again after changing what is trainable."
                )
        self._masks = [self._add_mask(variable, name) for variable in self._variables]
        self._constraints = [
            MaskConstraint(mask, variable.constraint)
            for variable, mask in zip(self._variables, self._masks, strict=True)
        ]
        for variable, constraint in zip(self._variables, self._constraints, strict=True):
            variable.constraint = constraint
        rebuild_step_functions(model)

    def _add_mask(self, variable, name):
        return add_optimizer_variable(
            self._optimizer,
            np.ones(tuple(variable.shape), "bool"),
            name=f"{name}_{variable.path.replace('/', '_')}",
            layout=getattr(variable, "_layout", None),
        )

    def read(self) -> list[np.ndarray]:
        """Host copies of the masks, true where a weight is kept."""
        sync_model(self._model)
        return [np.array(_host(mask)) for mask in self._masks]

    def write(self, masks: Sequence[np.ndarray]) -> None:
        """Assign masks, all shapes checked first; weights follow with `apply` or the next step."""
        for variable, mask in zip(self._variables, masks, strict=True):
            if tuple(np.shape(mask)) != tuple(variable.shape):
                raise ValueError(
                    f"The mask of {variable.path!r} must have shape {tuple(variable.shape)}, got "
                    f"{tuple(np.shape(mask))}."
                )
        sync_model(self._model)
        for variable, mask in zip(self._masks, masks, strict=True):
            variable.assign(np.array(mask, "bool"))

    def apply(self) -> None:
        """Zero the masked weights and their moving averages now.

        With `use_ema` Keras writes the averages into the weights after the last step, and an
        average remembers what a weight was before it was pruned.
        """
        sync_model(self._model)
        averages = _moving_averages(self._optimizer)
        for variable, mask in zip(self._variables, self._masks, strict=True):
            for target in (variable, averages.get(id(variable))):
                if target is not None:
                    kept = ops.convert_to_tensor(mask)
                    target.assign(ops.where(kept, ops.convert_to_tensor(target), 0))

    def has_averages(self) -> bool:
        """Whether the optimizer keeps moving averages of the weights (`use_ema=True`)."""
        return bool(_moving_averages(self._optimizer))

    def sparsity(self) -> float:
        """Share of masked weights, counted on the device."""
        sync_model(self._model)
        kept = sum(int(ops.sum(ops.cast(mask, "int32"))) for mask in self._masks)
        return 1.0 - kept / sum(int(np.prod(variable.shape)) for variable in self._variables)

    def remove(self) -> None:
        """Give the constraints back and drop the masks; the weights keep their values."""
        sync_model(self._model)
        for variable, constraint in zip(self._variables, self._constraints, strict=True):
            _unlink(variable, constraint)
        for mask in self._masks:
            remove_optimizer_variable(self._optimizer, mask)
        rebuild_step_functions(self._model)


class StepCounter:
    """Counts train steps from where it was made, in a checkpoint of the optimizer as well.

    The optimizer counts its steps inside the compiled step; only the offset is stored here, so
    counting costs nothing. With gradient accumulation every batch is a step, as it is for Keras'
    learning rate schedules; steps a `LossScaleOptimizer` skips do not count.

    Args:
        model: A built and compiled `keras.Model`.
        name: String, name of the variable with the offset.
    """

    def __init__(self, model: keras.Model, name: str = "step_origin"):
        self._model = model
        self._optimizer = update_optimizer(model)
        sync_model(model)
        self._origin = add_optimizer_variable(
            self._optimizer, np.asarray(self._iterations(), "int32"), name=name
        )
        rebuild_step_functions(model)

    def _iterations(self):
        return int(_host(self._optimizer._iterations))

    def read(self) -> int:
        """Train steps since the counter was made or written."""
        sync_model(self._model)
        return self._iterations() - int(_host(self._origin))

    def write(self, step: int) -> None:
        """Go on counting from `step`."""
        sync_model(self._model)
        self._origin.assign(np.asarray(self._iterations() - int(step), "int32"))

    def remove(self) -> None:
        """Drop the variable from the optimizer."""
        sync_model(self._model)
        remove_optimizer_variable(self._optimizer, self._origin)
        rebuild_step_functions(self._model)


def update_optimizer(model: keras.Model):
    """The optimizer that updates the weights of a compiled model, built, loss scaling unwrapped."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError(
            f"Model {model.name!r} has no optimizer. Call `model.compile(optimizer, loss)` first."
        )
    if not optimizer.built:
        with _creation_scope(optimizer):
            optimizer.build(model.trainable_variables)
    return getattr(optimizer, "inner_optimizer", optimizer)


def add_optimizer_variable(optimizer, initial: np.ndarray, *, name: str, layout: Any = None):
    """A variable that is threaded through the train step with the optimizer's own."""

    def initializer(shape, dtype=None):
        return ops.convert_to_tensor(initial, dtype=dtype)

    with _creation_scope(optimizer):
        return optimizer.add_variable(
            shape=initial.shape,
            initializer=initializer,
            dtype=keras.backend.standardize_dtype(initial.dtype),
            layout=layout,
            name=name,
        )


def remove_optimizer_variable(optimizer, variable: keras.Variable) -> None:
    """Inverse of `add_optimizer_variable`; rebuild the step functions afterwards."""
    optimizer._untrack_variable(variable)
    # TensorFlow refuses to export a model with a list that has lost an entry: make it a new one.
    with DotNotTrackScope():
        optimizer._variables = list(optimizer._variables)
    is_variable, _ = optimizer._tracker.config["variables"]
    optimizer._tracker.config["variables"] = (is_variable, optimizer._variables)


def _creation_scope(optimizer):
    """Where TensorFlow wants the variables of an optimizer made; elsewhere nothing."""
    strategy = getattr(optimizer, "_distribution_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def _host(variable):
    # NumPy warns about variables on JAX: their `__array__` has no `copy` argument.
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def _moving_averages(optimizer):
    """Dict from `id(variable)` to its moving average, where the optimizer keeps one."""
    averages = {}
    for part in getattr(optimizer, "optimizers", [optimizer]):
        if part.use_ema and part.built:
            for variable, average in zip(
                part._trainable_variables, part._model_variables_moving_average, strict=True
            ):
                if average is not None:
                    averages[id(variable)] = average
    return averages


def _unlink(variable, constraint):
    """Take one constraint out of the chain; another mask may have been put around it since."""
    if variable.constraint is constraint:
        variable.constraint = constraint.inner
        return
    outer = variable.constraint
    while isinstance(outer, MaskConstraint):
        if outer.inner is constraint:
            outer.inner = constraint.inner
            return
        outer = outer.inner
