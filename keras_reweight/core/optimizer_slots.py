"""What an optimizer remembers of single weights, and how to make it forget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.masks import update_optimizer
from keras_reweight.core.state import sync_model

#: Lists of variables of an optimizer that are no memory.
_NO_SLOTS = frozenset({"_trainable_variables", "_variables"})
#: Slots that begin as a copy of the weight.
_COPIES = {"_model_variables_moving_average": None, "_momentums": "ScheduleFreeAdamW"}
#: Slots that begin at the optimizer's `initial_accumulator_value`.
_ACCUMULATORS = "_accumulators"


def slots(optimizer, variable: keras.Variable) -> Iterator[tuple[Any, str, keras.Variable]]:
    """Optimizer, attribute and variable of all that is remembered of each weight of `variable`.

    Sums over rows or columns (Adafactor) belong to no single weight and are left out.
    """
    for part in getattr(optimizer, "optimizers", [optimizer]):
        index = part._trainable_variables_indices.get(part._var_key(variable))
        if index is None or not part.built:
            continue
        count = len(part._trainable_variables)
        for name, values in vars(part).items():
            if name in _NO_SLOTS or not isinstance(values, list) or len(values) != count:
                continue
            slot = values[index]
            if isinstance(slot, keras.Variable) and tuple(slot.shape) == tuple(variable.shape):
                yield part, name, slot


def reset_slots(
    model: keras.Model, variables: Sequence[keras.Variable], entries: Sequence[np.ndarray]
) -> None:
    """Let the optimizer forget what it knows of some weights, as if they were new.

    For weights that begin anew inside a training: the momentum of their former life would drive
    them off at once. Slots that begin as a copy of the weight get its present value.

    Args:
        model: A compiled `keras.Model`.
        variables: Trainable variables of `model`.
        entries: Bool array of the shape of each variable, true where to forget.
    """
    optimizer = update_optimizer(model)
    sync_model(model)
    for variable, chosen in zip(variables, entries, strict=True):
        if not chosen.any():
            continue
        where = ops.convert_to_tensor(chosen)
        for part, name, slot in slots(optimizer, variable):
            initial = _initial_value(part, variable, name)
            slot.assign(ops.where(where, ops.cast(initial, slot.dtype), ops.copy(slot)))


def _initial_value(optimizer, variable, name):
    if name in _COPIES and _COPIES[name] in (None, type(optimizer).__name__):
        return ops.convert_to_tensor(variable)
    if name == _ACCUMULATORS:
        return getattr(optimizer, "initial_accumulator_value", 0.0)
    return 0.0
