"""Several tensors to one: sums, products, concatenation."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.core.channels.trace import Call, Tracked


def merged(call: Call, inputs: Sequence[Tracked]) -> list[Tracked]:
    """Elementwise with broadcasting: what meets at one position goes together."""
    (shape, *_) = call.output_shapes
    rank = len(shape)
    axes = {rank - len(x.shape) + x.axis for x in inputs if x.axis is not None}
    if not axes:
        return call.outputs(None)
    if len(axes) > 1:
        return call.refuse("meets channels of different axes", inputs)
    (axis,) = axes
    first = None
    for x in inputs:
        own = axis - (rank - len(x.shape))
        if own < 0 or x.shape[own] != shape[axis]:
            # Stretched over the channels: every channel needs it.
            call.freeze(x.atoms, "stretches a single channel over others")
            continue
        atoms = call.along(x, own)
        if first is None:
            first = atoms
        else:
            call.union(first, atoms)
    return call.outputs(axis, first)


def merge(call: Call) -> list[Tracked]:
    return merged(call, call.inputs)


def concatenated(call: Call, axis: int) -> list[Tracked]:
    inputs = call.inputs
    rank = len(inputs[0].shape)
    axis %= rank
    axes = {x.axis for x in inputs if x.axis is not None}
    if not axes:
        return call.outputs(None)
    if len(axes) > 1:
        return call.refuse("joins channels of different axes")
    if axes == {axis}:
        return call.outputs(axis, np.concatenate([call.along(x, axis) for x in inputs]))
    (other,) = axes
    first, *rest = (call.along(x, other) for x in inputs)
    for atoms in rest:
        call.union(first, atoms)
    return call.outputs(other, first)


def concatenate(call: Call) -> list[Tracked]:
    return concatenated(call, call.operation.axis)


RULES = {
    keras.layers.Add: merge,
    keras.layers.Average: merge,
    keras.layers.Concatenate: concatenate,
    keras.layers.Maximum: merge,
    keras.layers.Minimum: merge,
    keras.layers.Multiply: merge,
    keras.layers.Subtract: merge,
}
