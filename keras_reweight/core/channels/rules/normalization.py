"""Normalizations: exact where every channel has its own statistics."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.trace import Call, Tracked


def batch_normalization(call: Call) -> list[Tracked]:
    layer, (x, *others) = call.operation, call.inputs
    if others:
        call.freeze(np.concatenate([one.atoms for one in others]), "reads them as a mask")
    call.same("input", x)
    if x.axis == layer.axis % len(x.shape):
        for variable in (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance):
            call.bind(variable, 0, x.atoms, "channelwise")
    return call.outputs(x.axis, x.atoms)


def over_axes(call: Call) -> list[Tracked]:
    """Layer, RMS and unit normalization: a channel that goes changes the others."""
    layer, (x, *_) = call.operation, call.inputs
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    axes = [axis % len(x.shape) for axis in axes]
    if x.axis in axes:
        for name in ("gamma", "beta", "scale"):
            variable = getattr(layer, name, None)
            if isinstance(variable, keras.Variable):
                call.bind(variable, axes.index(x.axis), x.atoms, "channelwise")
        call.trace.across.setdefault(id(layer), x)
    call.same("input", x)
    return call.outputs(x.axis, x.atoms)


def group_normalization(call: Call) -> list[Tracked]:
    """Every group loses the same positions; one channel a group is a group that can go."""
    layer, (x, *_) = call.operation, call.inputs
    axis = layer.axis % len(x.shape)
    call.same("input", x)
    if x.axis is None:
        return call.outputs(None)
    if x.axis != axis:
        return call.refuse("normalizes along another axis")
    groups = layer.groups
    if groups == x.atoms.size:
        call.edit("groups", lambda kept: kept(x.atoms))
    else:
        atoms = x.atoms.reshape(groups, -1)
        call.union(np.tile(atoms[0], groups - 1), atoms[1:].ravel())
        call.trace.across.setdefault(id(layer), x)
    for variable in (layer.gamma, layer.beta):
        call.bind(variable, 0, x.atoms, "channelwise")
    return call.outputs(axis, x.atoms)


def adapted_normalization(call: Call) -> list[Tracked]:
    (x, *_) = call.inputs
    if x.axis is not None:
        return call.refuse("holds constants for single channels")
    return call.outputs(None)


RULES = {
    keras.layers.BatchNormalization: batch_normalization,
    keras.layers.GroupNormalization: group_normalization,
    keras.layers.LayerNormalization: over_axes,
    keras.layers.Normalization: adapted_normalization,
    keras.layers.RMSNormalization: over_axes,
    keras.layers.UnitNormalization: over_axes,
}
