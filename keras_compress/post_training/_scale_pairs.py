"""Which layer makes the features that linear layers read, and nobody else reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_reweight.core.graph_calls import graph_calls
from keras_reweight.core.model_kind import is_functional
from keras_reweight.core.selection import all_layers

_NORMALIZATIONS = (
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.BatchNormalization,
)
LINEAR = (keras.layers.Dense, keras.layers.EinsumDense)
# What a positive factor of a feature passes through, at inference.
_TRANSPARENT = (keras.layers.Dropout, keras.layers.Identity, keras.layers.ReLU)


class ScalePair(NamedTuple):
    """`producer` makes features that only `readers` read."""

    producer: keras.layers.Layer
    readers: tuple[keras.layers.Layer, ...]


def scale_pairs(model: keras.Model) -> Iterator[ScalePair]:
    """The pairs in Functional and Sequential models, and inside attention layers of any model."""
    for layer in all_layers(model):
        if isinstance(layer, keras.layers.MultiHeadAttention):
            # Attention takes means over positions, so factors of channels pass.
            yield ScalePair(layer.value_dense, (layer.output_dense,))
    graphs = list(_graphs(model))
    calls = [call for graph in graphs for call in graph_calls(graph)]
    count = Counter(id(call.operation) for call in calls)
    readers_of: dict[int, list[Any]] = {}
    for call in calls:
        for tensor in {id(tensor): tensor for tensor in call.inputs}.values():
            readers_of.setdefault(id(tensor), []).append(call)
    kept = {id(tensor) for graph in graphs for tensor in keras.tree.flatten(graph.outputs)}
    for call in calls:
        if count[id(call.operation)] > 1 or len(call.outputs) != 1:
            continue
        if not makes_last_axis(call.operation, len(call.outputs[0].shape)):
            continue
        readers = _readers(call.outputs[0], readers_of, kept, count)
        if readers:
            yield ScalePair(call.operation, tuple(readers))


def is_normalization(layer: keras.layers.Layer) -> bool:
    """Whether `layer` has a gain for its features instead of a kernel."""
    return isinstance(layer, _NORMALIZATIONS)


def gain_of(layer: keras.layers.Layer) -> keras.Variable | None:
    """What a normalization multiplies its features with."""
    name = "scale" if isinstance(layer, keras.layers.RMSNormalization) else "gamma"
    return getattr(layer, name)


def _graphs(model):
    if not (isinstance(model, keras.Sequential) or is_functional(model)):
        return
    yield model
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _graphs(layer)


def makes_last_axis(layer, rank):
    """Whether dividing weights of `layer` divides the last axis of what it gives."""
    if is_normalization(layer):
        axis = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return gain_of(layer) is not None and list(axis) in ([-1], [rank - 1])
    if not isinstance(layer, LINEAR):
        return False
    if layer.activation not in (None, keras.activations.linear, keras.activations.relu):
        return False
    if isinstance(layer, keras.layers.EinsumDense):
        left, output = layer.equation.replace(" ", "").split("->")
        created = [label for label in left.split(",")[1] if label in output]
        return created == [output[-1]]
    return True


def _readers(tensor, readers_of, kept, count):
    """The linear layers that read `tensor`, or `None` if something else does."""
    if id(tensor) in kept:
        return None
    found = []
    for call in readers_of.get(id(tensor), []):
        layer = call.operation
        if count[id(layer)] > 1:
            return None
        if isinstance(layer, _TRANSPARENT) and _passes_factors(layer) and len(call.outputs) == 1:
            inner = _readers(call.outputs[0], readers_of, kept, count)
        elif isinstance(layer, LINEAR):
            inner = [layer] if reads_last_axis(layer) else None
        elif type(layer) is keras.layers.MultiHeadAttention:
            names = projections_reading(call, tensor)
            inner = None if names is None else [getattr(layer, f"{name}_dense") for name in names]
        else:
            inner = None
        if inner is None:
            return None
        found += inner
    return found


def _passes_factors(layer):
    if not isinstance(layer, keras.layers.ReLU):
        return True
    return layer.max_value is None and not layer.threshold


def reads_last_axis(layer):
    if isinstance(layer, keras.layers.Dense):
        return True
    inputs, kernel = layer.equation.replace(" ", "").split("->")[0].split(",")
    return [label for label in inputs if label in kernel] == [inputs[-1]]


def projections_reading(call, tensor) -> list[str] | None:
    """Those of `"query"`, `"value"` and `"key"` of an attention call that read `tensor`."""
    names = ("query", "value", "key")
    given = {**dict(zip(names, call.args, strict=False)), **call.kwargs}
    if given.get("key") is None:
        given["key"] = given.get("value")
    reading = [name for name, entry in given.items() if entry is tensor]
    return reading if set(reading) <= set(names) else None
