"""Recurrent layers: a unit is its gates, its row of the recurrent kernel and its states."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.rules.activation_kinds import mixing_activation
from keras_reweight.core.channels.trace import Call, Tracked


def recurrent(call: Call) -> list[Tracked]:
    layer, (x, *states) = call.operation, call.inputs
    cell = layer.cell
    if layer.stateful:
        return call.refuse("stateful: its states have a fixed size")
    units = call.produce("units", layer.units)
    if reason := mixing_activation(layer.activation, getattr(layer, "recurrent_activation", None)):
        call.freeze(units, reason)
    gates = cell.kernel.shape[1] // layer.units
    columns = np.tile(units, gates)
    call.bind(cell.kernel, 0, call.along(x, -1), "in", holder=cell)
    call.bind(cell.kernel, 1, columns, "out", holder=cell)
    call.bind(cell.recurrent_kernel, 0, units, "in", holder=cell)
    call.bind(cell.recurrent_kernel, 1, columns, "out", holder=cell)
    if layer.use_bias:
        # GRU with `reset_after` has two rows of biases.
        call.bind(cell.bias, -1, columns, "out", holder=cell)
    for state in states:
        call.union(call.along(state, -1), units)
    call.edit("units", lambda kept: kept(units))
    return call.outputs(-1, units)


RULES = {
    keras.layers.GRU: recurrent,
    keras.layers.LSTM: recurrent,
    keras.layers.SimpleRNN: recurrent,
}
