"""The layers that attributes of another layer hold, and other layers in their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras.src.saving.saving_lib import _walk_saveable

#: An attribute, and where the layer is inside of it: indices of lists and tuples, keys of dicts.
Place = tuple[str, tuple[Any, ...]]


def held_layers(holder: keras.layers.Layer) -> list[tuple[Place, keras.layers.Layer]]:
    """Layers that attributes of `holder`, or containers in them, hold directly.

    The attributes are those that Keras' files are made of, without properties; Functional and
    Sequential models have their `layers`. A layer that is held twice is listed twice.
    """
    graph = holder._obj_type() in ("Functional", "Sequential")
    return [
        ((name, inside), layer)
        for name, value in dict(_walk_saveable(holder)).items()
        if not isinstance(getattr(type(holder), name, None), property)
        or (graph and name == "layers")
        for inside, layer in _layers_in(value)
    ]


def _layers_in(value: Any) -> Iterator[tuple[tuple[Any, ...], keras.layers.Layer]]:
    if isinstance(value, keras.layers.Layer):
        yield (), value
    elif isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            for inside, layer in _layers_in(item):
                yield (key, *inside), layer


def put_layer(holder: keras.layers.Layer, place: Place, layer: keras.layers.Layer) -> None:
    """Let `holder` hold `layer` at a place of `held_layers`, although it is built."""
    name, inside = place
    tracker = holder._tracker
    locked, old = tracker.locked, getattr(holder, name)
    tracker.unlock()
    try:
        setattr(holder, name, _with_item(old, inside, layer))
        held = {id(other) for _, other in held_layers(holder)}
        for other in list(holder._layers):
            if id(other) not in held:
                tracker.untrack(other)
    finally:
        if locked:
            tracker.lock()


def refresh_holders(model: keras.Model) -> None:
    """Tell the backend that `model` and the layers in it hold other variables now."""
    for layer in model._flatten_layers():
        layer._post_build()


def _with_item(value, inside, layer):
    if not inside:
        return layer
    key, rest = inside[0], inside[1:]
    items = dict(value) if isinstance(value, dict) else list(value)
    items[key] = _with_item(items[key], rest, layer)
    return items if isinstance(value, (dict, list)) else tuple(items)
