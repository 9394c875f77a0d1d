"""Short trainings that the callback checks compare."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.state import sync_model
from keras_reweight.core.testing import tasks
from keras_reweight.core.testing.catalog import Row

EPOCHS = 2
SNAPSHOT_EPOCH = 0


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all weights by path."""
    return {v.path: np.array(ops.convert_to_numpy(v)) for v in model.weights}


def optimizer_variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Optimizer variables by path, without the number in the name of the optimizer."""
    return {variable.path.partition("/")[2]: variable for variable in model.optimizer.variables}


def optimizer_state(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all optimizer variables."""
    found = optimizer_variables(model)
    return {name: np.array(ops.convert_to_numpy(value)) for name, value in found.items()}


def state_of(callback: Any) -> dict[str, np.ndarray]:
    """The state of a callback of ours; empty for one that has none."""
    return callback.get_state() if hasattr(callback, "get_state") else {}


def _copied(arrays):
    return {name: np.array(array) for name, array in arrays.items()}


class Spy(keras.callbacks.Callback):
    """Watches a fit from behind the callback under test.

    Args:
        callback: The callback under test or `None`.
        snapshot_epoch: Epoch after which everything needed to resume is copied.
    """

    def __init__(self, callback=None, snapshot_epoch: int | None = None):
        super().__init__()
        self.callback = callback
        self.snapshot_epoch = snapshot_epoch
        self.snapshot: dict[str, dict[str, np.ndarray]] = {}
        self.train_functions: list[Any] = []
        self.strays: set[str] = set()

    def on_train_batch_end(self, batch, logs=None):
        if not any(known is self.model.train_function for known in self.train_functions):
            self.train_functions.append(self.model.train_function)

    def on_epoch_end(self, epoch, logs=None):
        model = self.model
        sync_model(model)
        known = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
        known = {id(variable) for variable in known}
        for name, value in vars(self.callback).items() if self.callback is not None else ():
            if name != "_model" and _holds_unknown_variable(value, known):
                self.strays.add(name)
        if epoch == self.snapshot_epoch:
            self.snapshot = {
                "weights": weights_of(model),
                "optimizer": optimizer_state(model),
                "seeds": {
                    str(i): np.array(ops.convert_to_numpy(v)) for i, v in enumerate(_seeds(model))
                },
                "callback": _copied(state_of(self.callback)),
            }


def _holds_unknown_variable(value, known):
    leaves = keras.tree.flatten(value) if isinstance(value, (dict, list, tuple)) else [value]
    for leaf in leaves:
        if isinstance(leaf, keras.random.SeedGenerator):
            leaf = leaf.state
        if isinstance(leaf, keras.Variable) and id(leaf) not in known:
            return True
    return False


@dataclass
class Fitted:
    """What one training left behind."""

    model: keras.Model
    callback: Any
    spy: Spy
    weights: dict[str, np.ndarray]
    state: dict[str, np.ndarray]
    history: dict[str, list[float]]

    @property
    def traces(self) -> int:
        """How often the train step was traced (models made by `tasks.counting`)."""
        return self.model.get_layer("counter").count


def task_of(row: Row | None) -> tasks.Task:
    """The row's task or the default one."""
    return row.inputs() if row is not None and row.inputs is not None else tasks.Task()


def fit(
    row: Row | None,
    *,
    task: tasks.Task | None = None,
    callback: Any = None,
    build: Callable[..., keras.Model] = tasks.functional,
    eager: bool = True,
    epochs: int = EPOCHS,
    resume_from: dict[str, dict[str, np.ndarray]] | None = None,
    snapshot_epoch: int | None = None,
    accumulate: int | None = None,
    compile_arguments: dict[str, Any] | None = None,
    **fit_arguments: Any,
) -> Fitted:
    """Train a tiny model from the same seed with a callback (or without one, `row=None`)."""
    task = task_of(row) if task is None else task
    if callback is None and row is not None:
        callback = row.make()
    keras.utils.set_random_seed(0)
    # No argument where there is nothing to insert: tests pass builders of their own.
    model = build() if task.middle is tuple else build(task.middle)
    options = {"gradient_accumulation_steps": accumulate} if accumulate else {}
    optimizer = task.optimizer(**options)
    outputs = len(model.outputs) if build is tasks.two_outputs else 1
    loss = task.loss() if outputs == 1 else [task.loss() for _ in range(outputs)]
    model.compile(optimizer, loss, run_eagerly=eager, **(compile_arguments or {}))
    task.prepare(model)
    y = tasks.labels() if outputs == 1 else [tasks.labels(), tasks.labels()[::-1].copy()]
    initial_epoch = 0
    if resume_from is not None:
        initial_epoch = _restore(model, callback, resume_from)
    spy = Spy(callback, snapshot_epoch)
    callbacks = [spy] if callback is None else [callback, spy]
    history = model.fit(
        tasks.features(),
        task.targets(y),
        batch_size=tasks.BATCH_SIZE,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        **fit_arguments,
    )
    state = _copied(state_of(callback))
    return Fitted(model, callback, spy, weights_of(model), state, history.history)


def _seeds(model):
    """States of the random generators of the layers, which are no weights."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _restore(model, callback, snapshot):
    for variable in model.weights:
        variable.assign(snapshot["weights"][variable.path])
    for index, variable in enumerate(_seeds(model)):
        variable.assign(snapshot["seeds"][str(index)])
    model.optimizer.build(model.trainable_variables)
    for name, variable in optimizer_variables(model).items():
        variable.assign(snapshot["optimizer"][name])
    if snapshot["callback"]:
        callback.set_state(snapshot["callback"])
    return SNAPSHOT_EPOCH + 1


@functools.lru_cache(maxsize=2)
def baseline(row: Row) -> Fitted:
    """The eager training of the row that the others are compared with."""
    return fit(row, build=tasks.counting, snapshot_epoch=SNAPSHOT_EPOCH)


@functools.lru_cache(maxsize=2)
def jitted(row: Row) -> Fitted:
    """The same training compiled."""
    return fit(row, build=tasks.counting, eager=False)


@functools.lru_cache(maxsize=2)
def sequential(row: Row) -> Fitted:
    """A Sequential model with validation data, trained by the callback of the baseline."""
    validation_data = (tasks.features(), task_of(row).targets(tasks.labels()))
    callback = baseline(row).callback
    return fit(row, callback=callback, build=tasks.sequential, validation_data=validation_data)


@functools.lru_cache(maxsize=2)
def subclassed(row: Row) -> Fitted:
    """A subclassed model, trained by a copy of the callback of the baseline."""
    callback = copy.deepcopy(baseline(row).callback)
    return fit(row, callback=callback, build=tasks.subclassed)


@functools.cache
def plain_traces() -> int:
    """How often Keras itself traces the train step of a fit."""
    return fit(None, build=tasks.counting, eager=False).traces


def plain(row: Row) -> Fitted:
    """The training without the callback."""
    return _plain(row.inputs)


@functools.cache
def _plain(make_task):
    task = make_task() if make_task is not None else tasks.Task()
    return fit(None, task=task)
