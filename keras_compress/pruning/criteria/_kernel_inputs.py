"""Kernels as matrices of input rows and output units, and what comes in at the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_compress.calibration import collect_input_statistics
from keras_compress.calibration.kernel_rows import (
    has_kernel_rows,
    kernel_matrix,
    kernel_of_matrix,
)
from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, make_forward, predictions_of
from keras_reweight.core.observed_inputs import observed_inputs, steps_inside
from keras_reweight.core.selection import all_layers, layers_by_path

_TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)


class KernelInputs:
    """One variable as `(..., rows, outputs)`, and the layer whose inputs meet the rows.

    `source` is `None` where these inputs exist only inside the layer: hidden states of recurrent
    layers, what the depthwise part of a separable convolution gives.
    """

    def __init__(self, variable: keras.Variable, layer: Any, source: Any):
        self.variable, self.layer, self.source = variable, layer, source

    def matrix(self, kernel: np.ndarray) -> np.ndarray:
        """An array of the shape of the variable in the form `(..., rows, outputs)`."""
        if self._is_plain():
            return kernel_matrix(self.layer, kernel)
        if isinstance(self.layer, _TRANSPOSED):
            kernel = np.swapaxes(kernel, -1, -2)
        return kernel.reshape(-1, kernel.shape[-1])

    def kernel(self, matrix: np.ndarray) -> np.ndarray:
        """The inverse of `matrix`."""
        shape = tuple(self.variable.shape)
        if self._is_plain():
            return kernel_of_matrix(self.layer, matrix)
        if isinstance(self.layer, _TRANSPOSED):
            return np.swapaxes(matrix.reshape(*shape[:-2], shape[-1], shape[-2]), -1, -2)
        return matrix.reshape(shape)

    def rows(self, values: np.ndarray | None) -> np.ndarray:
        """One number a row, `(..., rows)`, from one for each input; ones if nothing is known."""
        count = self.matrix(np.zeros(tuple(self.variable.shape), "float32")).shape[-2]
        if values is None:
            return np.ones(count)
        if values.ndim > 1:
            return values
        if count % len(values):
            shape = tuple(self.variable.shape)
            raise ValueError(
                f"{self.variable.path!r}: a kernel of shape {shape} on inputs of {len(values)} "
                "channels; this layer is not covered. Leave it out by `layers`."
            )
        # A transposed convolution meets a channel at each of its positions.
        return np.tile(values, count // len(values))

    def _is_plain(self):
        return has_kernel_rows(self.layer) and self.variable is self.layer.kernel


def kernel_inputs(model: keras.Model, variables: Sequence[keras.Variable]) -> list[KernelInputs]:
    """Where the inputs of each variable can be seen."""
    owners = {id(v): layer for layer in all_layers(model) for v in layer.variables}
    inside, by_path = steps_inside(model), layers_by_path(model)
    loops = {
        id(inner): layer
        for layer in by_path.values()
        for inner in (getattr(layer, "cell", None), _wrapped(layer))
        if inner is not None
    }
    found = []
    for variable in variables:
        layer = owners.get(id(variable))
        source = layer
        if id(layer) in inside:
            source = loops.get(id(layer))
            is_dense = isinstance(source, layers.RNN) or type(layer) is layers.Dense
            source = source if is_dense else None
        if variable.name not in ("kernel", "embeddings") or isinstance(
            layer, (layers.SeparableConv1D, layers.SeparableConv2D)
        ):
            source = None
        found.append(KernelInputs(variable, layer, source))
    return found


def _wrapped(layer):
    return layer.layer if isinstance(layer, layers.TimeDistributed) else None


def statistics_of(
    model: keras.Model,
    kernels: Sequence[KernelInputs],
    data: Any,
    *,
    moment: str,
    batch_size: int,
    argument: str = "data",
) -> list[np.ndarray | None]:
    """Mean squares (`"second_moment"`) or sums of products (`"gram"`) of the inputs of kernels."""
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    tables = [k for k in kernels if isinstance(k.source, layers.Embedding)]
    sources = {id(k.source): k.source for k in kernels if k.source is not None and k not in tables}
    found: dict[str, Any] = {}
    if sources:
        found = collect_input_statistics(
            model,
            data,
            layers=list(sources.values()),
            moments=[moment],
            batch_size=batch_size,
        )
    counts = _id_counts(model, tables, data, batch_size, argument) if tables else {}
    results: list[Any] = []
    for kernel in kernels:
        if kernel.source is None:
            results.append(None)
        elif id(kernel.source) in counts:
            count = counts[id(kernel.source)]
            results.append(np.diag(count) if moment == "gram" else count / max(count.sum(), 1.0))
        else:
            results.append(getattr(found[paths[id(kernel.source)]], moment))
    return results


def _id_counts(model, tables, data, batch_size, argument) -> dict[int, np.ndarray]:
    """How often each id comes up: sums of squares of one-hot inputs."""
    found = list({id(kernel.source): kernel.source for kernel in tables}.values())
    counts = [np.zeros(int(layer.input_dim)) for layer in found]

    def collect(x):
        parts = []

        def observe(number, inputs, mask):
            parts.append((number, ops.cast(inputs, "int32")))

        with observed_inputs(model, found, observe):
            predictions_of(model, x)
        return parts

    forward: Callable = make_forward(collect, model.variables)
    for x, _, _ in iterate_batches(data, batch_size, argument=argument):
        for number, ids in forward(as_model_inputs(model, x)):
            ids = np.asarray(ops.convert_to_numpy(ids)).reshape(-1)
            counts[int(number)] += np.bincount(ids, minlength=len(counts[int(number)]))
    for layer, count in zip(found, counts, strict=True):
        if layer.mask_zero:
            count[0] = 0.0
    return {id(layer): count for layer, count in zip(found, counts, strict=True)}
