"""What is around layers that read the same inputs, and what their kernels do to its output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.post_training._targets import host_value, weight_of
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import (
    as_model_inputs,
    outputs_of,
    predictions_of,
    without_gradients,
)
from keras_reweight.core.layer_calls import recorded_arguments
from keras_reweight.core.observed_inputs import attention_projections
from keras_reweight.core.selection import all_layers

_READING = ("query", "key", "value")


class Block:
    """The smallest layer around some layers, with some of its calls.

    Attributes:
        layers: The layers inside that are quantized.
        roles: For each of them `"query"`, `"key"` or `"value"` in an attention layer, else `None`.
        path: Path of the block.
    """

    def __init__(self, block: keras.layers.Layer, layers: Sequence[keras.layers.Layer], calls: Any):
        self._block, self._calls = block, calls
        self.layers = list(layers)
        self.path = block.path
        names = {id(part): name for name, part in attention_projections(block).items()}
        self.roles = [names.get(id(layer)) for layer in layers]
        self._expected: list[np.ndarray] = []

    def error(self, kernels: Sequence[np.ndarray]) -> float:
        """Mean squared error of the block's output with `kernels` in place of those of `layers`.

        Positions that the mask of the call leaves out do not count.
        """
        if not self._expected:
            self._expected = self._outputs()
        variables = [weight_of(layer) for layer in self.layers]
        before = [host_value(variable).copy() for variable in variables]
        try:
            for variable, kernel in zip(variables, kernels, strict=True):
                variable.assign(kernel)
            found = self._outputs()
        finally:
            for variable, kernel in zip(variables, before, strict=True):
                variable.assign(kernel)
        total = sum(np.square(a - b).sum() for a, b in zip(found, self._expected, strict=True))
        return float(total) / max(1, sum(array.size for array in found))

    def _outputs(self) -> list[np.ndarray]:
        """What counts of the first output of every call, float64."""
        found = []
        with without_gradients():
            for args, kwargs in self._calls:
                output = keras.tree.flatten(outputs_of(self._block, args, kwargs))[0]
                values = ops.convert_to_numpy(ops.cast(output, "float32")).astype("float64")
                mask = kwargs.get("query_mask", kwargs.get("mask"))
                if mask is not None and ops.is_tensor(mask):
                    valid = ops.convert_to_numpy(ops.cast(mask, "bool"))
                    if valid.shape == values.shape[: valid.ndim]:
                        values = values[valid]
                found.append(values)
        return found


def find_block(
    model: keras.Model, layers: Sequence[keras.layers.Layer]
) -> keras.layers.Layer | None:
    """The smallest layer of `model` with all `layers` inside.

    One layer alone has a block only if it makes queries, keys or values of an attention layer:
    what comes after the others is not the business of their inputs.
    """
    wanted = {id(layer) for layer in layers}
    found, least = None, math.inf
    for layer in all_layers(model):
        inside = all_layers(layer)
        if len(inside) < least and wanted <= {id(part) for part in inside}:
            found, least = layer, len(inside)
    if found is None or len(layers) > 1:
        return found
    projections = attention_projections(found)
    reading = [id(projections[name]) for name in _READING if name in projections]
    return found if id(layers[0]) in reading else None


def record_block(
    model: keras.Model,
    block: keras.layers.Layer,
    layers: Sequence[keras.layers.Layer],
    data: Any,
    batch_size: int,
    most: int,
) -> Block:
    """The block with its calls in the first batches of `data`, until there are `most` rows."""
    calls: list[tuple[tuple, dict[str, Any]]] = []
    for x, _, _ in iterate_batches(data, batch_size):
        with without_gradients(), recorded_arguments(block) as found:
            predictions_of(model, as_model_inputs(model, x))
        calls += found
        if sum(_rows_of(args, kwargs) for args, kwargs in calls) >= most:
            break
    return Block(block, layers, calls)


def _rows_of(args, kwargs):
    tensors = [leaf for leaf in keras.tree.flatten((args, kwargs)) if ops.is_tensor(leaf)]
    return math.prod(tensors[0].shape[:-1]) if tensors else 0
