"""Which axes of a kernel are summed over, and the kernel as matrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

_TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)


class KernelAxes(NamedTuple):
    """Axes of a kernel: places of a filter, inputs that are summed over, outputs."""

    places: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def kernel_axes(shape: tuple[int, ...], layer: Any) -> KernelAxes:
    """The axes of a kernel of `shape` that belongs to `layer` (`None`: to no single layer).

    Kernels are `(*places, inputs, outputs)`, those of transposed convolutions
    `(*places, outputs, inputs)`; for `EinsumDense`, and so for attention, the equation tells.
    """
    rank = len(shape)
    if isinstance(layer, keras.layers.EinsumDense):
        operands, result = layer.equation.split("->")
        inputs, kernel = operands.split(",")
        kernel = kernel.strip()
        places = tuple(i for i, c in enumerate(kernel) if c in inputs and c in result)
        summed = tuple(i for i, c in enumerate(kernel) if c not in result)
        return KernelAxes(places, summed, _without(rank, places + summed))
    places = tuple(range(rank - 2))
    if isinstance(layer, _TRANSPOSED):
        return KernelAxes(places, (rank - 1,), (rank - 2,))
    return KernelAxes(places, (rank - 2,), (rank - 1,))


def kernel_matrices(value: np.ndarray, layer: Any) -> np.ndarray:
    """A kernel as an array of shape `(places, inputs, outputs)`."""
    axes = kernel_axes(value.shape, layer)
    sizes = _sizes(value.shape, axes)
    return np.transpose(value, axes.places + axes.inputs + axes.outputs).reshape(sizes)


def num_eigenvalues(shape: tuple[int, ...], layer: Any) -> int:
    """Singular values of all matrices of a kernel."""
    places, inputs, outputs = _sizes(shape, kernel_axes(shape, layer))
    return places * min(inputs, outputs)


def _sizes(shape, axes):
    return [int(np.prod([shape[axis] for axis in part])) for part in axes]


def _without(rank, axes):
    return tuple(axis for axis in range(rank) if axis not in axes)
