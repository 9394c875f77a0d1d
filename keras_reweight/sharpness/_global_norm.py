"""The length of a list of tensors."""

from __future__ import annotations

from keras import ops

#: Keeps divisions by the length finite.
SMALLEST = 1e-12


def global_norm(tensors):
    """L2 norm of all entries of a list, float32."""
    return ops.sqrt(sum(ops.sum(ops.square(ops.cast(tensor, "float32"))) for tensor in tensors))


def scaled_to(tensors, radius):
    """The list in the same direction with this length; zeros stay zeros."""
    factor = radius / (global_norm(tensors) + SMALLEST)
    return [tensor * ops.cast(factor, tensor.dtype) for tensor in tensors]
