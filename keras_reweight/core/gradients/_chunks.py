"""Working through many samples in chunks of one size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.validation import check_choice, check_integer


def check_chunking(batch_size: Any, verbose: Any) -> None:
    """Raise unless these are a batch size and a verbosity of Keras."""
    if batch_size is not None:
        check_integer("batch_size", batch_size, minimum=1)
    check_choice("verbose", verbose, [0, 1, 2])


def chunks(data: Any, batch_size: int | None, verbose: int = 0) -> Iterator[tuple[Any, int]]:
    """`(chunk, count)`: nested arrays of `batch_size` samples, the first `count` of them real.

    The last chunk is filled up with copies of its first sample: a smaller one would be compiled
    again. Fewer samples than `batch_size` make one smaller chunk. The count of a batch of unknown
    size (inside a graph) is `None`.
    """
    leaves = [leaf for leaf in tree.flatten(data) if leaf is not None]
    size = leaves[0].shape[0]
    if batch_size is None or size is None or size <= batch_size:
        yield data, size
        return
    starts = range(0, size, batch_size)
    bar = keras.utils.Progbar(len(starts), verbose=verbose, unit_name="chunk")
    for number, start in enumerate(starts):
        count = min(batch_size, size - start)
        yield _slice(data, start, count, batch_size), count
        bar.update(number + 1)


def _slice(data, start, count, batch_size):
    missing = batch_size - count

    def cut(leaf):
        if leaf is None:
            return None
        part = leaf[start : start + count]
        if not missing:
            return part
        if isinstance(part, np.ndarray):
            return np.concatenate([part, np.repeat(part[:1], missing, axis=0)])
        return ops.concatenate([part, ops.repeat(part[:1], missing, axis=0)], axis=0)

    return tree.map_structure(cut, data)


def join(parts: list[Any]) -> Any:
    """Concatenate results of equal structure along the samples."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], (list, tuple)):
        return [ops.concatenate(column, axis=0) for column in zip(*parts, strict=True)]
    return ops.concatenate(parts, axis=0)


def head(result: Any, count: int | None) -> Any:
    """The first `count` samples of a result."""
    if count is None:
        return result
    if isinstance(result, (list, tuple)):
        return [head(part, count) for part in result]
    return result if result.shape[0] == count else result[:count]
