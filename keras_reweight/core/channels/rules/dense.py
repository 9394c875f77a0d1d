"""Dense layers: every unit is a channel of the last axis."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.rules.activation_kinds import mixing_activation
from keras_reweight.core.channels.trace import Call, Tracked, is_quantized


def dense(call: Call) -> list[Tracked]:
    layer, (x, *_) = call.operation, call.inputs
    if reason := is_quantized(layer):
        return call.refuse(reason)
    units = call.produce("units", layer.units)
    # On another axis the channels are rows, which a dense layer treats one by one.
    rows = x.axis is not None and x.axis != x.last
    if rows:
        call.freeze(units, "the channels are its rows")
    if reason := mixing_activation(layer.activation):
        call.freeze(units, reason)
    taken = np.zeros(layer.kernel.shape[0], "int64") if rows else call.along(x, -1)
    call.bind(layer.kernel, 0, taken, "in")
    call.bind(layer.kernel, 1, units, "out")
    call.bind(layer.bias, 0, units, "out")
    call.edit("units", lambda kept: kept(units))
    return call.outputs(x.axis, x.atoms) if rows else call.outputs(-1, units)


def einsum_dense(call: Call) -> list[Tracked]:
    """One axis in, one axis out, both last: a dense layer; anything else is left alone."""
    layer, (x, *_) = call.operation, call.inputs
    if reason := is_quantized(layer):
        return call.refuse(reason)
    operands, _, result = layer.equation.replace(" ", "").partition("->")
    data, _, weights = operands.partition(",")
    data, result = data.replace("...", "."), result.replace("...", ".")
    simple = (
        len(weights) == 2
        and data[:-1] == result[:-1]
        and weights == data[-1] + result[-1]
        and layer.bias_axes in (None, result[-1])
    )
    if not simple:
        return call.refuse(f"equation {layer.equation!r} is not that of a dense layer")
    units = call.produce("units", layer.kernel.shape[1])
    if reason := mixing_activation(layer.activation):
        call.freeze(units, reason)
    call.bind(layer.kernel, 0, call.along(x, -1), "in")
    call.bind(layer.kernel, 1, units, "out")
    call.bind(layer.bias, 0, units, "out")
    before = layer.partial_output_shape[:-1]
    call.edit("output_shape", lambda kept: (*before, kept(units)))
    return call.outputs(-1, units)


RULES = {keras.layers.Dense: dense, keras.layers.EinsumDense: einsum_dense}
