"""A copy of a model to change, whatever kind of model it is."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress._rebuild import copy_layer, copy_state, rebuild
from keras_reweight.core.forward import as_model_inputs, predictions_of
from keras_reweight.core.model_kind import has_own_constructor, is_functional
from keras_reweight.core.state import sync_model


def copy_model(model: keras.Model, caller: str, example: Any = None) -> keras.Model:
    """A model of the same class and values, not compiled.

    `example` are inputs of one batch, or `None`; they build a subclassed model that does not know
    its input shape.
    """
    sync_model(model)
    is_open = isinstance(model, keras.Sequential) or is_functional(model)
    if is_open and hasattr(model, "inputs") and not has_own_constructor(model):
        copy, pairs = rebuild(model, copy_layer)
        for old, new in pairs.values():
            copy_state(old, new)
        return copy
    try:
        copy = type(model).from_config(model.get_config())
        if not is_open and example is not None:
            predictions_of(copy, as_model_inputs(copy, example))
        elif not copy.built:
            copy.build_from_config(model.get_build_config())
        copy_state(model, copy)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{caller}: model {model.name!r} ({type(model).__name__}) cannot be copied from its "
            f"configuration: {error} Define a complete `get_config`, or pass `copy=False` to "
            "change the model itself."
        ) from error
    return copy
