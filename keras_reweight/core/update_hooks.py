"""What happens around the update of the weights, inside the compiled train step.

A hook sees the gradients of every training step and may change them, keep something of them, or
undo part of the update. While at least one is installed, `optimizer.apply` is an instance
attribute; the class of the optimizer, and with it the fused update on torch, stays as it is. What
a hook remembers must be a variable of the optimizer (`core.masks.add_optimizer_variable`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_reweight.core.graph_order import after_mark, mark_order
from keras_reweight.core.masks import update_optimizer
from keras_reweight.core.state import rebuild_step_functions, sync_model

_ATTRIBUTE = "_kr_update_hooks"

#: `hook(gradients, variables, update)`: lists of the same length, a gradient may be `None`, and
#: `update(gradients)` does the update, once. Loss scaling is taken out of the gradients before;
#: under gradient accumulation a hook sees those of each batch.
UpdateHook = Callable[[list[Any], list[keras.Variable], Callable[[list[Any]], None]], None]


def add_update_hook(model: keras.Model, hook: UpdateHook) -> None:
    """Call `hook` in every step that trains `model`; the one added last is called first."""
    optimizer = update_optimizer(model)
    hooks = vars(optimizer).get(_ATTRIBUTE)
    if hooks is None:
        hooks = []
        # Past Keras' own `__setattr__`, which would track the list.
        object.__setattr__(optimizer, _ATTRIBUTE, hooks)
        object.__setattr__(optimizer, "apply", functools.partial(_apply, optimizer, hooks))
    hooks.insert(0, hook)
    rebuild_step_functions(model)


def remove_update_hook(model: keras.Model, hook: UpdateHook) -> None:
    """Take a hook off again; without hooks the optimizer is what it was."""
    sync_model(model)
    optimizer = update_optimizer(model)
    hooks = vars(optimizer).get(_ATTRIBUTE, [])
    hooks[:] = [other for other in hooks if other != hook]
    if not hooks and _ATTRIBUTE in vars(optimizer):
        object.__delattr__(optimizer, _ATTRIBUTE)
        object.__delattr__(optimizer, "apply")
    rebuild_step_functions(model)


def _apply(optimizer, hooks: Sequence[UpdateHook], grads, trainable_variables=None):
    if trainable_variables is None:
        variables = list(optimizer._trainable_variables)
    else:
        variables = trainable_variables = list(trainable_variables)
    # What hooks read is the state before the update.
    mark = mark_order()

    def call(position, gradients):
        if position < len(hooks):
            hooks[position](list(gradients), variables, functools.partial(call, position + 1))
        else:
            with after_mark(mark):
                type(optimizer).apply(optimizer, gradients, trainable_variables)

    call(0, list(grads))
