"""Weights of samples inside a step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def weight_per_sample(sample_weight: Any, caller: str):
    """Float32 weights of shape `(batch,)`, or `None`.

    Raises:
        ValueError: For weights per output or per position, which no sample has as its own.
    """
    if sample_weight is None:
        return None
    leaves = [leaf for leaf in keras.tree.flatten(sample_weight) if leaf is not None]
    shapes = [tuple(leaf.shape) for leaf in leaves]
    if len(shapes) != 1 or len(shapes[0]) > 2 or shapes[0][1:] not in ((), (1,)):
        raise ValueError(
            f"{caller} needs one `sample_weight` per sample, shape (batch,), got shapes {shapes}."
        )
    return ops.cast(ops.reshape(leaves[0], (-1,)), "float32")


def times(values: Any, weight: Any):
    """The product, in the dtype of the values; a weight of `None` changes nothing."""
    return values if weight is None else values * ops.cast(weight, values.dtype)
