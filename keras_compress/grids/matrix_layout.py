"""A kernel as a matrix of inputs by outputs."""

from __future__ import annotations

import math

import numpy as np


def channel_positions(channel_axes: tuple[int, ...] | int | None, rank: int) -> tuple[int, ...]:
    """`channel_axes` as non-negative axes in ascending order; `None` means none."""
    if channel_axes is None:
        return ()
    axes = (channel_axes,) if isinstance(channel_axes, (int, np.integer)) else channel_axes
    return tuple(sorted(int(axis) % rank for axis in axes))


def to_matrix(kernel: np.ndarray, channel_axes: tuple[int, ...] | int | None) -> np.ndarray:
    """`(rows, outputs)`: the axes that are no channel axes, in their order, by those that are."""
    kernel = np.asarray(kernel)
    channels = channel_positions(channel_axes, kernel.ndim)
    others = [axis for axis in range(kernel.ndim) if axis not in channels]
    rows = math.prod(kernel.shape[axis] for axis in others)
    return kernel.transpose([*others, *channels]).reshape(rows, -1)


def to_kernel(
    matrix: np.ndarray, shape: tuple[int, ...], channel_axes: tuple[int, ...] | int | None
) -> np.ndarray:
    """The inverse of `to_matrix`: an array of the `shape` of the kernel."""
    channels = channel_positions(channel_axes, len(shape))
    order = [*(axis for axis in range(len(shape)) if axis not in channels), *channels]
    return matrix.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))
