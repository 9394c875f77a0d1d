"""Layers that some models of `keras.applications` define for themselves."""

from __future__ import annotations

from keras_reweight.core.channels.trace import Call, Tracked


def layer_scale(call: Call) -> list[Tracked]:
    layer, (x,) = call.operation, call.inputs
    channels = call.along(x, -1)
    call.bind(layer.gamma, 0, channels, "channelwise")
    call.edit("projection_dim", lambda kept: kept(channels))
    return call.outputs(-1, channels)


def stochastic_depth(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    return call.outputs(x.axis, x.atoms)


#: By the name of the class.
RULES = {"LayerScale": layer_scale, "StochasticDepth": stochastic_depth}
