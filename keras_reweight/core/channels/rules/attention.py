"""Attention: heads, and the channels that go in and come out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.channels.trace import Call, Tracked, is_quantized
from keras_reweight.core.selection import all_layers

_IN = ("query", "value", "key", "gate")


def _query_value_key(call: Call) -> list[Tracked]:
    """Query, value and key, by position or name; masks are frozen."""
    query: Any
    value: Any
    key: Any
    query, value, key = (
        call.tracked(call.argument(position, name))
        for position, name in enumerate(("query", "value", "key"))
    )
    key = value if key is None else key
    for tensor in call.inputs:
        if not any(tensor is one for one in (query, value, key)):
            call.freeze(tensor.atoms, "reads them as a mask")
    return [query, value, key]


def _project_in(call: Call, projections, heads) -> Tracked:
    """Bind the input channels and the heads of the projections; returns the query."""
    query, value, key = _query_value_key(call)
    sources = {"query": query, "gate": query, "value": value, "key": key}
    for name, tensor in sources.items():
        if name in projections:
            projection = projections[name]
            call.bind(projection.kernel, 0, call.along(tensor, -1), "in", holder=projection)
            call.bind(projection.kernel, 1, heads[name], "out", holder=projection)
            call.bind(projection.bias, 0, heads[name], "out", holder=projection)
    return query


def _projections(call: Call) -> dict[str, keras.layers.EinsumDense]:
    layers = {layer.name: layer for layer in all_layers(call.operation)}
    return {name: layers[name] for name in (*_IN, "attention_output") if name in layers}


def _refusal(call: Call, projections) -> str | None:
    for projection in projections.values():
        if reason := is_quantized(projection):
            return reason
    return "returns attention scores" if len(call.output_shapes) > 1 else None


def multi_head_attention(call: Call) -> list[Tracked]:
    layer, projections = call.operation, _projections(call)
    if reason := _refusal(call, projections):
        return call.refuse(reason)
    heads = call.produce("heads", layer.num_heads)
    query = _project_in(call, projections, dict.fromkeys(_IN, heads))
    output = projections["attention_output"]
    call.bind(output.kernel, 0, heads, "in", holder=output)
    call.edit("num_heads", lambda kept: kept(heads))
    if len(output.kernel.shape) != 3:
        return call.outputs(None)
    channels = call.produce("channels", output.kernel.shape[2])
    call.bind(output.kernel, 2, channels, "out", holder=output)
    call.bind(output.bias, 0, channels, "out", holder=output)
    given, taken = layer.get_config()["output_shape"], call.along(query, -1)
    call.edit(
        "output_shape",
        # By default a layer gives as many channels as the query has.
        lambda kept: given if kept(channels) == kept(taken) and not given else (kept(channels),),
    )
    return call.outputs(-1, channels)


def grouped_query_attention(call: Call) -> list[Tracked]:
    """Heads of keys and values go with all their heads of queries."""
    layer, projections = call.operation, _projections(call)
    if reason := _refusal(call, projections):
        return call.refuse(reason)
    shared = np.zeros(layer.num_key_value_heads, "int64")
    if shared.size > 1:
        shared = call.produce("heads", shared.size)
        heads = np.repeat(shared, layer.num_query_heads // shared.size)
        call.edit("num_key_value_heads", lambda kept: kept(shared))
    else:
        heads = call.produce("heads", layer.num_query_heads)
    query = _project_in(
        call, projections, {"query": heads, "gate": heads, "key": shared, "value": shared}
    )
    output = projections["attention_output"]
    # The layer gives as many channels as the query has.
    channels = call.along(query, -1)
    call.bind(output.kernel, 0, heads, "in", holder=output)
    call.bind(output.kernel, 2, channels, "out", holder=output)
    call.bind(output.bias, 0, channels, "out", holder=output)
    call.edit("num_query_heads", lambda kept: kept(heads))
    return call.outputs(-1, channels)


RULES = {
    keras.layers.GroupQueryAttention: grouped_query_attention,
    keras.layers.MultiHeadAttention: multi_head_attention,
}
