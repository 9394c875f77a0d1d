"""What `LossBalancing` makes of its arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.tasks.task_balancer import TaskStatistics


def initial(value: np.ndarray):
    """An initializer that gives this array."""
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)


def shared_positions(model: keras.Model, shared: Any) -> list[int]:
    """Places among the trainable variables of those of the chosen layers."""
    variables = model.trainable_variables
    if shared is None:
        return list(range(len(variables)))
    candidates = all_layers(model.model)
    layers = select_layers(model.model, shared, candidates=candidates, argument="shared").touched
    chosen = {id(variable) for layer in layers for variable in layer.trainable_variables}
    places = [place for place, variable in enumerate(variables) if id(variable) in chosen]
    if not places:
        raise ValueError(
            f"`shared`={shared!r} chooses no trainable weight of model {model.model.name!r}."
        )
    return places


def statistics_of(
    needs: tuple[str, ...], losses: Any, gradients: list[list[Any]] | None, step: Any, epoch: Any
) -> TaskStatistics:
    """What a balancer with these needs is shown; `gradients` holds a list for each loss."""
    gram = largest = mean = None
    if gradients is not None:
        gradients = [[ops.cast(part, "float32") for part in one] for one in gradients]
        if "gram" in needs:
            gram = _gram(gradients)
        if "magnitudes" in needs:
            kernels = [[ops.abs(part) for part in one if len(part.shape) > 1] for one in gradients]
            largest = ops.stack([ops.stack([ops.max(part) for part in one]) for one in kernels])
            mean = ops.stack([ops.stack([ops.mean(part) for part in one]) for one in kernels])
    return TaskStatistics(losses, gram, largest, mean, step, epoch)


def _gram(gradients):
    flat = [ops.concatenate([ops.reshape(part, (-1,)) for part in one]) for one in gradients]
    rows = ops.stack(flat)
    return ops.matmul(rows, ops.transpose(rows))


def check_objectives(objectives: Any) -> None:
    """Raise unless it is `None` or a dict of functions."""
    if objectives is None:
        return
    if not isinstance(objectives, Mapping) or not all(callable(f) for f in objectives.values()):
        raise TypeError(
            "`objectives` must be a dict of functions (predict, x, y) -> scalar, got "
            f"{objectives!r}."
        )


def task_names(model: keras.Model, objectives: Mapping | None, loss: Any) -> list[str]:
    """Names of the losses that are balanced."""
    if objectives is not None:
        return list(objectives)
    entries = loss if isinstance(loss, (dict, list, tuple)) else []
    if isinstance(entries, dict):
        return [str(key) for key, value in entries.items() if value is not None]
    names = list(getattr(model, "output_names", None) or [])
    names = names if len(names) == len(entries) else [f"task{i}" for i in range(len(entries))]
    return [name for name, value in zip(names, entries, strict=True) if value is not None]
