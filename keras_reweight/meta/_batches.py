"""Weights and parts of a batch inside a step."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.batches import iterate_batches


def number_of_samples(structure: Any):
    """The batch size: an integer, or a tensor where it is not known while tracing."""
    leaf = next(leaf for leaf in keras.tree.flatten(structure) if leaf is not None)
    return ops.shape(leaf)[0]


def part(structure: Any, begin: Any = None, end: Any = None):
    """Rows `begin` to `end` of every array."""
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[begin:end], structure
    )


def in_memory(data: Any, argument: str) -> tuple[Any, Any]:
    """All of `x` and `y` of arrays or batches, as NumPy arrays.

    Raises:
        TypeError: If it is no data.
        ValueError: If there are no labels or no samples, or weights, which would be ignored.
    """
    try:
        batches = list(iterate_batches(data, batch_size=2**30))
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{argument}`={data!r:.60}: {error}") from error
    if not batches:
        raise ValueError(f"`{argument}` holds no batches, got {data!r}.")
    for _, y, sample_weight in batches:
        if y is None:
            kind = type(data).__name__
            raise ValueError(f"`{argument}` must be (x, y), got {kind} without labels.")
        if sample_weight is not None:
            raise ValueError(f"`{argument}` must be (x, y) without `sample_weight`.")
    first = batches[0][:2]
    if len(batches) == 1:
        return first
    return keras.tree.map_structure(
        lambda *leaves: ops.convert_to_numpy(ops.concatenate(leaves)),
        *[batch[:2] for batch in batches],
    )
