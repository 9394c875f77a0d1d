"""Pooling, padding, cropping, upsampling: every channel for itself."""

from __future__ import annotations

import keras

from keras_reweight.core.channels.rules.convolution import channel_axis
from keras_reweight.core.channels.trace import Call, Tracked


def spatial(call: Call) -> list[Tracked]:
    """The channels stay where they are, or come to axis 1 when all other axes are gone."""
    (x, *masks) = call.inputs
    for mask in masks:
        call.freeze(mask.atoms, "reads them as a mask")
    axis = channel_axis(call.operation, len(x.shape))
    if x.axis is None:
        return call.outputs(None)
    if x.axis != axis:
        return call.refuse("works along the axis of the channels")
    rank = len(call.output_shapes[0])
    return call.outputs(axis if rank == len(x.shape) else 1, x.atoms)


def repeat_vector(call: Call) -> list[Tracked]:
    (x, *_) = call.inputs
    return call.outputs(None if x.axis is None else 2, x.atoms)


_NAMES = (
    *(
        f"{size}{kind}Pooling{rank}D"
        for size in ("", "Global")
        for kind in ("Average", "Max")
        for rank in (1, 2, 3)
    ),
    *(f"Adaptive{kind}Pooling{rank}D" for kind in ("Average", "Max") for rank in (1, 2, 3)),
    *(f"{kind}{rank}D" for kind in ("Cropping", "UpSampling", "ZeroPadding") for rank in (1, 2, 3)),
    "Resizing",
)
RULES = {getattr(keras.layers, name): spatial for name in _NAMES if hasattr(keras.layers, name)}
RULES[keras.layers.RepeatVector] = repeat_vector
