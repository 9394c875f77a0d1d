"""Layers around layers: both directions, every time step."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np

from keras_reweight.core.channels.rules import convolution, dense, normalization, recurrent
from keras_reweight.core.channels.trace import Call, Tracked

_EACH_STEP = {**convolution.RULES, **dense.RULES, **normalization.RULES}


def bidirectional(call: Call) -> list[Tracked]:
    layer, (x, *states) = call.operation, call.inputs
    directions = (layer.forward_layer, layer.backward_layer)
    if any(type(one) not in recurrent.RULES or one.stateful for one in directions):
        return call.refuse("wraps something else than LSTM, GRU or SimpleRNN without memory")
    half = len(states) // 2
    paths = call.trace.paths
    forward, backward = (
        recurrent.recurrent(
            dataclasses.replace(
                call,
                operation=one,
                path=paths[id(one)],
                inputs=[x, *given],
                output_shapes=[call.output_shapes[0]],
            )
        )[0].atoms
        for one, given in zip(directions, (states[:half], states[half:]), strict=True)
    )
    _edit_inner(call, "layer", layer.forward_layer)
    _edit_inner(call, "backward_layer", layer.backward_layer)
    if layer.merge_mode == "concat":
        merged = [np.concatenate([forward, backward])]
    elif layer.merge_mode is None:
        merged = [forward, backward]
    else:
        call.union(forward, backward)
        merged = [forward]
    num_states = (len(call.output_shapes) - len(merged)) // 2
    atoms = [*merged, *[forward] * num_states, *[backward] * num_states]
    return [
        Tracked(shape, len(shape) - 1, one)
        for shape, one in zip(call.output_shapes, atoms, strict=True)
    ]


def time_distributed(call: Call) -> list[Tracked]:
    """The rule of the inner layer, on tensors without the time axis."""
    layer, (x, *_) = call.operation.layer, call.inputs
    rule = _EACH_STEP.get(type(layer))
    if rule is None:
        return call.refuse(f"no rule for {type(layer).__name__} at every time step")
    if x.axis == 1:
        return call.refuse("the channels are its time steps")
    inner = dataclasses.replace(
        call,
        operation=layer,
        path=call.trace.paths[id(layer)],
        inputs=[_without_time(x)],
        output_shapes=[(shape[0], *shape[2:]) for shape in call.output_shapes],
    )
    (y,) = rule(inner)
    _edit_inner(call, "layer", layer)
    axis = None if y.axis is None else y.axis + 1
    return call.outputs(axis, y.atoms)


def _without_time(x: Tracked) -> Tracked:
    axis = None if x.axis is None else x.axis - 1
    return Tracked((x.shape[0], *x.shape[2:]), axis, x.atoms)


def _edit_inner(call: Call, key: str, layer) -> None:
    """The configuration of an inner layer is an entry of that of the wrapper."""
    inner = call.trace.edits.get(id(layer), {})
    for name, value in inner.items():
        call.edit((key, "config", *name), value)


RULES = {
    keras.layers.Bidirectional: bidirectional,
    keras.layers.TimeDistributed: time_distributed,
}
