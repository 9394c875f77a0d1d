"""Layers that treat every number, or every channel, for itself."""

from __future__ import annotations

import keras

from keras_reweight.core.channels.rules.activation_kinds import mixing_activation
from keras_reweight.core.channels.trace import Call, Tracked


def elementwise(call: Call) -> list[Tracked]:
    (x, *others) = call.inputs
    if others:
        return call.refuse("takes several tensors")
    return call.outputs(x.axis, x.atoms)


def activation(call: Call) -> list[Tracked]:
    if reason := mixing_activation(call.operation.activation):
        return call.refuse(reason)
    return elementwise(call)


def softmax(call: Call) -> list[Tracked]:
    """Over other axes than the channels, channels are treated one by one."""
    (x, *others) = call.inputs
    axes = call.operation.axis
    axes = [axes] if isinstance(axes, int) else axes
    if others or x.axis in [axis % len(x.shape) for axis in axes]:
        return call.refuse("softmax over the channels")
    return call.outputs(x.axis, x.atoms)


def prelu(call: Call) -> list[Tracked]:
    (x, *_) = call.inputs
    alpha = call.operation.alpha
    call.same("input", x)
    if x.axis is not None and alpha.shape[x.axis - 1] > 1:
        call.bind(alpha, x.axis - 1, x.atoms, "channelwise")
    return call.outputs(x.axis, x.atoms)


def dropout(call: Call) -> list[Tracked]:
    (x, *_) = call.inputs
    noise_shape = getattr(call.operation, "noise_shape", None)
    if noise_shape is not None and x.axis is not None and noise_shape[x.axis] not in (None, 1):
        return call.refuse("its `noise_shape` fixes the number of channels")
    return call.outputs(x.axis, x.atoms)


def rescaling(call: Call) -> list[Tracked]:
    (x, *_) = call.inputs
    constants = (call.operation.scale, call.operation.offset)
    if x.axis is not None and not all(isinstance(one, (int, float)) for one in constants):
        return call.refuse("holds constants for single channels")
    return call.outputs(x.axis, x.atoms)


RULES = {
    keras.layers.Activation: activation,
    keras.layers.ActivityRegularization: elementwise,
    keras.layers.AlphaDropout: dropout,
    keras.layers.Dropout: dropout,
    keras.layers.ELU: elementwise,
    keras.layers.GaussianDropout: dropout,
    keras.layers.GaussianNoise: elementwise,
    keras.layers.Identity: elementwise,
    keras.layers.LeakyReLU: elementwise,
    keras.layers.PReLU: prelu,
    keras.layers.ReLU: elementwise,
    keras.layers.Rescaling: rescaling,
    keras.layers.Softmax: softmax,
    keras.layers.SpatialDropout1D: elementwise,
    keras.layers.SpatialDropout2D: elementwise,
    keras.layers.SpatialDropout3D: elementwise,
}
