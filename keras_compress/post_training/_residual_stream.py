"""Tensors that additions tie together, what writes to them, and what reads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_compress.post_training._scale_pairs import (
    LINEAR,
    is_normalization,
    makes_last_axis,
    projections_reading,
    reads_last_axis,
)
from keras_reweight.core.graph_calls import bare_operation, graph_calls

_TIES = (keras.layers.Add, keras.layers.Dropout, keras.layers.Identity)


@dataclass
class Stream:
    """One group of tied tensors, with every layer that touches it; `problems` if not all can turn.

    `writers` are layers whose last axis is the stream; `readers` are linear layers that read it as
    it is; `normalized` pairs a normalization with the linear layers that read what it gives. A
    layer inside attention comes with the attention layer: `(owner, attribute)`.
    """

    width: int
    writers: list[Any] = field(default_factory=list)
    readers: list[Any] = field(default_factory=list)
    normalized: list[tuple[Any, list[Any]]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def residual_streams(model: keras.Model) -> list[Stream]:
    """The streams of a Functional model: tied tensors with at least one addition."""
    calls = graph_calls(model)
    count = Counter(id(call.operation) for call in calls)
    tied = _Tied()
    for call in calls:
        if _ties(call):
            for tensor in (*call.inputs, *call.outputs):
                tied.join(id(tensor), id(call.outputs[0]))
    streams = {
        tied.name(id(call.outputs[0])): Stream(call.outputs[0].shape[-1])
        for call in calls
        if _ties(call) and len(call.inputs) > 1
    }
    readers_of: dict[int, list[Any]] = {}
    for call in calls:
        for tensor in {id(tensor): tensor for tensor in call.inputs}.values():
            readers_of.setdefault(id(tensor), []).append(call)
    outside = [*keras.tree.flatten(model.outputs), *keras.tree.flatten(model.inputs)]
    for tensor in outside:
        stream = streams.get(tied.name(id(tensor)))
        if stream is not None:
            stream.problems.append(f"{tensor.name!r} is an input or output of the model")
    for call in calls:
        if _ties(call):
            continue
        for tensor in call.outputs:
            stream = streams.get(tied.name(id(tensor)))
            if stream is not None:
                _note_writer(stream, call, count)
        for tensor in {id(tensor): tensor for tensor in call.inputs}.values():
            stream = streams.get(tied.name(id(tensor)))
            if stream is not None:
                _note_reader(stream, call, tensor, count, readers_of, outside)
    return list(streams.values())


def _ties(call):
    operation = call.operation
    if not (isinstance(operation, _TIES) or bare_operation(operation) == "Add"):
        return False
    return len({tensor.shape[-1] for tensor in (*call.inputs, *call.outputs)}) == 1 and (
        len(call.inputs) > 1 or isinstance(operation, _TIES)
    )


def _note_writer(stream, call, count):
    layer = call.operation
    name = getattr(layer, "name", str(layer))
    if count[id(layer)] > 1 or len(call.outputs) != 1:
        stream.problems.append(f"{name!r} is called more than once, or gives several tensors")
    elif isinstance(layer, keras.layers.Embedding):
        stream.writers.append((layer, None))
    elif type(layer) is keras.layers.MultiHeadAttention:
        stream.writers.append((layer, "output_dense"))
    elif (
        isinstance(layer, LINEAR)
        and makes_last_axis(layer, len(call.outputs[0].shape))
        and (layer.activation is not keras.activations.relu)
    ):
        stream.writers.append((layer, None))
    else:
        stream.problems.append(f"{name!r}, which writes to it, is no linear layer or embedding")


def _note_reader(stream, call, tensor, count, readers_of, outside):
    layer = call.operation
    name = getattr(layer, "name", str(layer))
    if count[id(layer)] > 1:
        stream.problems.append(f"{name!r} is called more than once")
    elif (
        isinstance(layer, (keras.layers.LayerNormalization, keras.layers.RMSNormalization))
        and is_normalization(layer)
        and list(layer.axis) in ([-1], [len(tensor.shape) - 1])
        and not getattr(layer, "rms_scaling", False)
    ):
        found = _linear_readers(call.outputs[0], count, readers_of, outside)
        if found is None:
            stream.problems.append(f"what {name!r} gives is read by others than linear layers")
        else:
            stream.normalized.append((layer, found))
    else:
        found = _as_linear(call, tensor)
        if found is None:
            stream.problems.append(f"{name!r}, which reads it, is no linear layer")
        else:
            stream.readers += found


def _linear_readers(tensor, count, readers_of, outside):
    if any(tensor is one for one in outside):
        return None
    found = []
    for call in readers_of.get(id(tensor), []):
        if count[id(call.operation)] > 1:
            return None
        if isinstance(call.operation, (keras.layers.Dropout, keras.layers.Identity)):
            inner = _linear_readers(call.outputs[0], count, readers_of, outside)
        else:
            inner = _as_linear(call, tensor)
        if inner is None:
            return None
        found += inner
    return found


def _as_linear(call, tensor):
    layer = call.operation
    if isinstance(layer, LINEAR):
        return [(layer, None)] if reads_last_axis(layer) else None
    if type(layer) is keras.layers.MultiHeadAttention:
        names = projections_reading(call, tensor)
        return None if names is None else [(layer, f"{name}_dense") for name in names]
    return None


class _Tied:
    """Union of tensors by their id."""

    def __init__(self):
        self._parent: dict[int, int] = {}

    def name(self, key):
        while self._parent.get(key, key) != key:
            key = self._parent[key]
        return key

    def join(self, first, second):
        self._parent[self.name(first)] = self.name(second)
