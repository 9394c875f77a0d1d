"""What goes into one layer of a model, and the order in which layers get their turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.kernel_rows import input_rows, num_groups, row_mask
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of
from keras_reweight.core.observed_inputs import observed_inputs


def first_batch(data: Any, batch_size: int) -> Any:
    """The inputs of the first batch."""
    for x, _, _ in iterate_batches(data, batch_size):
        return x
    raise ValueError("`data` holds no samples.")


def order_of_calls(model: keras.Model, layers: Sequence[keras.layers.Layer], x: Any) -> list[int]:
    """Numbers of the layers in the order in which the model calls them first."""
    order: list[int] = []

    def observe(number, inputs, mask):
        if number not in order:
            order.append(number)

    with observed_inputs(model, layers, observe):
        predictions_of(model, as_model_inputs(model, x))
    return order


def rows_of_call(
    layer: keras.layers.Layer, inputs: Any, mask: Any
) -> tuple[np.ndarray, np.ndarray | None]:
    """Float64 rows `(positions ..., groups, rows)` of one call, and the positions that count.

    These are a boolean array of shape `(positions ...)`, or `None` for all.
    """
    rows = ops.convert_to_numpy(ops.cast(input_rows(layer, inputs), "float32")).astype("float64")
    rows = rows if num_groups(layer) > 1 else rows[..., None, :]
    if mask is None:
        return rows, None
    valid = ops.convert_to_numpy(ops.cast(row_mask(layer, mask), "bool"))
    valid = valid.reshape(*valid.shape, *[1] * (rows.ndim - 2 - valid.ndim))
    return rows, np.broadcast_to(valid, rows.shape[:-2])


def rows_of_batch(model: keras.Model, layer: keras.layers.Layer, x: Any) -> np.ndarray:
    """Float64 rows `(n, groups, rows)` that the kernel meets in a batch, masked ones left out."""
    found: list[np.ndarray] = []

    def observe(number, inputs, mask):
        rows, valid = rows_of_call(layer, inputs, mask)
        found.append(rows.reshape(-1, *rows.shape[-2:]) if valid is None else rows[valid])

    with observed_inputs(model, [layer], observe):
        predictions_of(model, as_model_inputs(model, x))
    return np.concatenate(found)


def paired_rows(
    models: Sequence[keras.Model],
    layers: Sequence[keras.layers.Layer],
    data: Any,
    batch_size: int,
) -> Iterator[tuple[np.ndarray, ...]]:
    """`rows_of_batch` of each model with its layer, batch by batch."""
    for x, _, _ in iterate_batches(data, batch_size):
        yield tuple(
            rows_of_batch(model, layer, x) for model, layer in zip(models, layers, strict=True)
        )
