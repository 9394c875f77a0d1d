"""What goes into single layers of a forward pass, together with the masks that belong to it."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.gradients._scope import keras_mask

_ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


@contextlib.contextmanager
def observed_inputs(
    model: keras.Model,
    layers: Sequence[keras.layers.Layer],
    observe: Callable[[int, Any, Any], None],
) -> Iterator[None]:
    """Inside, `observe(number, inputs, mask)` hears of every call of `layers[number]`.

    `mask` is the Keras mask of the inputs or `None`. Attention layers take the masks off their
    inputs; their projections are told what was there: that of the query for the query and output
    projections, those of key and value for the others.
    """
    wanted = {id(layer) for layer in layers}
    masks: dict[int, Any] = {}
    with contextlib.ExitStack() as stack:
        for attention in model._flatten_layers():
            projections = attention_projections(attention)
            if any(id(layer) in wanted for layer in projections.values()):
                call = _attention_call(attention.call, projections, masks)
                stack.enter_context(_replaced(attention, "call", call))
        for number, layer in enumerate(layers):
            call = _observed_call(layer.call, number, id(layer), masks, observe)
            stack.enter_context(_replaced(layer, "call", call))
        yield


def attention_projections(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """The layers inside an attention layer by what they make; empty for any other layer."""
    if not isinstance(layer, _ATTENTION):
        return {}
    names = ("query", "key", "value", "gate", "output")
    found = {name: getattr(layer, f"_{name}_dense", None) for name in names}
    return {name: projection for name, projection in found.items() if projection is not None}


@contextlib.contextmanager
def called_in_training_mode(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Inside, these layers are called with `training=True`, whatever the model is called with."""

    def forced(original):
        def call(inputs, *args, **kwargs):
            return original(inputs, *args, **{**kwargs, "training": True})

        return call

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced(layer, "call", forced(layer.call)))
        yield


def steps_inside(model: keras.Model) -> dict[int, str]:
    """`id` of every layer that a loop calls step by step, and the path of the loop.

    What such a call gets cannot leave the loop.
    """
    found: dict[int, str] = {}
    for layer in model._flatten_layers():
        if isinstance(layer, (keras.layers.RNN, keras.layers.TimeDistributed)):
            inner = layer._flatten_layers(include_self=False)
            found.update((id(child), layer.path) for child in inner)
    return found


def _attention_call(original, projections, masks):
    signature = inspect.signature(original)

    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        found = {name: given.get(f"{name}_mask") for name in ("query", "key", "value")}
        for name, mask in found.items():
            if mask is None and given.get(name) is not None:
                found[name] = keras_mask(given[name])
        if given.get("key") is None:
            found["key"] = found["value"]
        for name, projection in projections.items():
            masks[id(projection)] = found.get(name, found["query"])
        try:
            return original(*args, **kwargs)
        finally:
            for projection in projections.values():
                masks.pop(id(projection), None)

    return call


def _observed_call(original, number, key, masks, observe):
    def call(inputs, *args, **kwargs):
        mask = kwargs.get("mask")
        mask = keras_mask(inputs) if mask is None and keras.ops.is_tensor(inputs) else mask
        observe(number, inputs, masks.get(key) if mask is None else mask)
        return original(inputs, *args, **kwargs)

    return call
