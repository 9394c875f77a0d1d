"""Which layers are quantized together, and what goes into them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_compress.post_training._row_statistics import RowStatistics
from keras_compress.retraining._layer_rows import rows_of_call
from keras_reweight.core.batches import batch_length, iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of, without_gradients
from keras_reweight.core.observed_inputs import observed_inputs


@dataclass
class Stage:
    """Layers with the same input, by number; `same_rows` maps each to the first with its rows."""

    numbers: list[int] = field(default_factory=list)
    same_rows: dict[int, int] = field(default_factory=dict)
    calls: dict[int, int] = field(default_factory=dict)


class Stream(NamedTuple):
    """A model that the data run through, its layers, and what its passes run inside."""

    model: keras.Model
    layers: Sequence[keras.layers.Layer]
    context: Callable[[], contextlib.AbstractContextManager]


class _Reached(BaseException):
    """Ends a forward pass whose rest is not needed. No error, so that Keras adds nothing to it."""


def stages_of(
    model: keras.Model, layers: Sequence[keras.layers.Layer], numbers: Sequence[int], x: Any
) -> list[Stage]:
    """Stages of `layers[number]` in the order of the forward pass; those not called are in none.

    Layers called one after the other with the same tensor, such as the projections for queries,
    keys and values, are one stage: none of them changes the input of another.
    """
    stages: list[Stage] = []
    calls: dict[int, int] = {}
    last: dict[str, Any] = {}

    def observe(position, inputs, mask):
        number = numbers[position]
        calls[number] = calls.get(number, 0) + 1
        if calls[number] > 1:
            return
        rows, _ = rows_of_call(layers[number], inputs, mask)
        if not last or last["inputs"] is not inputs:
            stages.append(Stage())
            last.update(inputs=inputs, rows={})
        stage = stages[-1]
        stage.numbers.append(number)
        stage.same_rows[number] = number
        for leader, found in last["rows"].items():
            if found.shape == rows.shape and np.array_equal(found, rows):
                stage.same_rows[number] = leader
                return
        last["rows"][number] = rows

    observed = [layers[number] for number in numbers]
    with without_gradients(), observed_inputs(model, observed, observe):
        predictions_of(model, as_model_inputs(model, x))
    split = [part for stage in stages for part in _called_once(stage, calls)]
    for stage in split:
        stage.calls = {number: calls[number] for number in stage.numbers}
    return split


def _called_once(stage, calls):
    """A layer that is called again later has other inputs there: it is a stage of its own."""
    again = [number for number in stage.numbers if calls[number] > 1]
    if not again or len(stage.numbers) == 1:
        return [stage]
    return [Stage([number], {number: number}) for number in stage.numbers]


def collect(
    streams: Sequence[Stream],
    stage: Stage,
    data: Any,
    batch_size: int,
    make_statistics: Callable[[], RowStatistics],
    token_weights: Callable | None = None,
) -> dict[int, RowStatistics]:
    """Statistics for every layer of a stage, in one pass over the data.

    Args:
        streams: That of the model that is quantized, and that of the float model if it is needed,
            with all layers in the same order.
        stage: The layers whose inputs are wanted.
        data: What `iterate_batches` takes.
        batch_size: For arrays.
        make_statistics: Makes the empty statistics of a layer.
        token_weights: `(first_sample, x, number, inputs) -> array` that fits the positions of a
            call of layer `number`, or `None`.
    """
    leaders = sorted(set(stage.same_rows.values()))
    found = {leader: make_statistics() for leader in leaders}
    first_sample = 0
    for x, _, _ in iterate_batches(data, batch_size):
        weigh = None
        if token_weights is not None:
            weigh = functools.partial(token_weights, first_sample, x)
        first_sample += batch_length(x)
        passes: list[dict[int, tuple]] = []
        for stream in streams:
            with stream.context():
                passes.append(_rows(stream, leaders, stage, x, None if passes else weigh))
        for leader in leaders:
            rows, weights = passes[0][leader]
            exact = passes[1][leader][0] if len(passes) > 1 else None
            if not np.isfinite(rows).all():
                path = streams[0].layers[leader].path
                raise ValueError(f"`data` leads to inputs of layer {path!r} that are not finite.")
            found[leader].add(rows, exact, weights)
    for leader, statistics in found.items():
        if not statistics.count:
            path = streams[0].layers[leader].path
            raise ValueError(f"`data` does not reach layer {path!r}: every token is masked.")
    return {number: found[leader] for number, leader in stage.same_rows.items()}


def _rows(stream, numbers, stage, x, weigh):
    """Rows `(n, groups, rows)` and weights `(n,)` of the layers `numbers` in one batch."""
    model, layers, _ = stream
    observed = [layers[number] for number in numbers]
    parts: dict[int, list] = {number: [] for number in numbers}

    def observe(position, inputs, mask):
        number = numbers[position]
        rows, valid = rows_of_call(layers[number], inputs, mask)
        weights = None
        if weigh is not None:
            weights = _token_weights(weigh(number, inputs), rows.shape[:-2], valid)
        valid = np.ones(rows.shape[:-2], "bool") if valid is None else valid
        parts[number].append((rows[valid], None if weights is None else weights[valid]))
        if all(len(parts[one]) >= stage.calls[one] for one in numbers):
            raise _Reached

    with without_gradients(), observed_inputs(model, observed, observe):
        try:
            predictions_of(model, as_model_inputs(model, x))
        except _Reached:
            pass
    for number, found in parts.items():
        if not found:
            raise ValueError(
                f"`data` has a batch that does not reach layer {layers[number].path!r}."
            )
    return {
        number: (
            np.concatenate([rows for rows, _ in found]),
            None if weigh is None else np.concatenate([weights for _, weights in found]),
        )
        for number, found in parts.items()
    }


def _token_weights(given, shape, valid):
    """Weights with mean one over the valid positions of every sample."""
    given = np.asarray(given, "float64")
    given = given.reshape(*given.shape, *[1] * (len(shape) - given.ndim))
    try:
        weights = np.broadcast_to(given, shape)
    except ValueError as error:
        raise ValueError(
            f"`token_weights` of shape {given.shape} do not fit inputs at positions {shape}."
        ) from error
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("`token_weights` must be finite and not negative.")
    weights = weights if valid is None else np.where(valid, weights, 0.0)
    axes = tuple(range(1, len(shape)))
    count = np.full(shape[:1], np.prod(shape[1:])) if valid is None else valid.sum(axis=axes)
    total = weights.sum(axis=axes)
    if np.any((total <= 0.0) & (count > 0)):
        raise ValueError("`token_weights` must be positive somewhere in every sample.")
    factor = np.divide(count, total, out=np.zeros(shape[:1]), where=total > 0)
    return weights * factor.reshape(-1, *[1] * len(axes))
