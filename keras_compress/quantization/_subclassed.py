"""Subclassed models: copies, and other layers in the attributes of a copy."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from keras_compress._rebuild import copy_state
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.call_shapes import call_shapes
from keras_reweight.core.held_layers import held_layers, put_layer, refresh_holders


def copy_subclassed(model: keras.Model, caller: str) -> keras.Model:
    """A new model of the same class with the same weights."""
    copy = new_subclassed(model, caller)
    copy_state(model, copy)
    return copy


def new_subclassed(model: keras.Model, caller: str) -> keras.Model:
    """A new, built model of the same class and arguments."""
    advice = (
        "Define `get_config` so that `from_config` makes the model again, or wrap the layers in "
        "its constructor, `self.dense = kc.layers.QuantizeAware(keras.layers.Dense(...), "
        "weight=...)`."
    )
    try:
        copy = type(model).from_config(_config(model))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(
            f"{caller}: model {model.name!r} is a subclassed {type(model).__name__} that cannot be "
            f"made again from its configuration: {error} {advice}"
        ) from error
    build_config = model.get_build_config()
    if not build_config:
        raise ValueError(
            f"{caller}: subclassed model {model.name!r} does not know the shapes of its inputs. "
            "Call it with one positional argument, or define `build(input_shape)`."
        )
    copy.build_from_config(build_config)
    copy.built = True
    return copy


def _config(model):
    """The configuration, without entries of Keras that a plain constructor does not take."""
    config = model.get_config()
    own_way = type(model).from_config.__func__ is not keras.Model.from_config.__func__
    parameters = inspect.signature(type(model).__init__).parameters
    if own_way or any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return config
    of_keras = {"name", "trainable", "dtype"} - set(parameters)
    return {key: value for key, value in config.items() if key not in of_keras}


def replace_held(model: keras.Model, replacements: dict[int, keras.layers.Layer]) -> None:
    """Put `replacements[id(layer)]` wherever an attribute of `model` holds `layer`."""
    for place, layer in held_layers(model):
        if id(layer) in replacements:
            put_layer(model, place, replacements[id(layer)])
    refresh_holders(model)


def check_still_runs(model: keras.Model, wrappers: list[QuantizeAware], caller: str) -> None:
    """Raise unless the code of the model gets along with the layers in its attributes."""
    try:
        called = {id(call.layer) for call in call_shapes(model, wrappers)}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{caller}: {type(model).__name__} uses its layers otherwise than by calling them, or "
            f"cannot be traced: {error} Leave those layers out with `layers=`, or wrap layers in "
            "the constructor of the model."
        ) from error
    if unused := [layer.name for layer in wrappers if id(layer) not in called]:
        raise ValueError(
            f"{caller}: {type(model).__name__} does not call the attributes that hold layers "
            f"{unused}, but uses these in another way. Leave them out with `layers=`."
        )


def same_places(first: keras.Model, second: keras.Model) -> list[tuple[Any, Any]]:
    """The layers that two models of one class hold at the same places."""
    others = dict(held_layers(second))
    return [(layer, others[place]) for place, layer in held_layers(first)]
