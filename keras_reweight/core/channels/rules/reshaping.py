"""Flatten, Reshape and Permute: the same numbers in another order."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.channels.rules.convolution import channel_axis
from keras_reweight.core.channels.trace import Call, Tracked


def reshaped(call: Call, x: Tracked, shape: tuple) -> Tracked:
    """`x` in another shape, batch axis first in both.

    Where channels end up on several axes, those at one position of the last axis become one: a
    dense layer whose units are reshaped to an image loses whole channels of the image.
    """
    if x.axis is None:
        return Tracked(shape)
    before, after = x.shape[1:], shape[1:]
    count = int(np.prod(x.shape[x.axis + 1 :])) if None not in x.shape[x.axis + 1 :] else None
    for axis, size in enumerate(after, start=1):
        # All that follows the channels, and so all that comes before, has the same extent.
        rest = shape[axis + 1 :]
        if size == x.shape[x.axis] and None not in rest and int(np.prod(rest)) == count:
            return Tracked(shape, axis, x.atoms)
    if None in before or None in after:
        call.freeze(x.atoms, "reshapes axes of unknown size")
        return Tracked(shape)
    grid = np.broadcast_to(
        x.atoms.reshape([-1 if axis == x.axis else 1 for axis in range(1, len(x.shape))]), before
    ).reshape(after)
    for axis in reversed(range(grid.ndim)):
        rows = np.moveaxis(grid, axis, -1).reshape(-1, grid.shape[axis])
        if (rows == rows[0]).all():
            return Tracked(shape, axis + 1, rows[0])
    rows = grid.reshape(-1, grid.shape[-1])
    call.union(np.tile(rows[0], len(rows) - 1), rows[1:].ravel())
    return Tracked(shape, grid.ndim, rows[0])


def reshape(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    y = call.same("output", reshaped(call, x, call.output_shapes[0]))
    if y.axis is not None:
        target, axis = tuple(call.operation.target_shape), y.axis - 1
        call.edit("target_shape", lambda kept: with_size(target, axis, kept(y.atoms)))
    return [y]


def with_size(shape: tuple, axis: int, size: int) -> tuple:
    """`shape` with another size along `axis`; -1 finds it by itself."""
    if shape[axis] == -1:
        return shape
    return (*shape[:axis], size, *shape[axis + 1 :])


def flatten(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    if channel_axis(call.operation, len(x.shape)) == 1 and len(x.shape) > 2:
        x = permuted(x, (0, *range(2, len(x.shape)), 1))
    return [reshaped(call, x, call.output_shapes[0])]


def permuted(x: Tracked, order: tuple[int, ...]) -> Tracked:
    shape = tuple(x.shape[axis] for axis in order)
    return Tracked(shape, None if x.axis is None else order.index(x.axis), x.atoms)


def permute(call: Call) -> list[Tracked]:
    (x,) = call.inputs
    return [permuted(x, (0, *call.operation.dims))]


RULES = {
    keras.layers.Flatten: flatten,
    keras.layers.Permute: permute,
    keras.layers.Reshape: reshape,
}
