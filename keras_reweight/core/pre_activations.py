"""What layers compute before their activation, summed over positions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.batches import iterate_batches
from keras_reweight.core.forward import as_model_inputs, predictions_of, without_gradients
from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.observed_inputs import observed_inputs


def pre_activation_moments(
    model: keras.Model,
    layers: Sequence[keras.layers.Layer],
    data: Any,
    *,
    batch_size: int = 32,
    argument: str = "data",
) -> list[np.ndarray]:
    """`E[h h^T]` of each layer, float64 of shape `(outputs, outputs)`, in inference mode.

    `h` is what goes into the activation, of one sample; positions (time steps without those that
    are masked, pixels) are summed. Labels are ignored.

    Raises:
        ValueError: If a layer is not called exactly once, or there are no samples.
    """
    totals: list[Any] = [0.0] * len(layers)
    count = 0
    for x, _, _ in iterate_batches(data, batch_size, argument=argument):
        with without_gradients(), _recorded(model, layers) as calls:
            predictions_of(model, as_model_inputs(model, x))
        for number, (layer, found) in enumerate(zip(layers, calls, strict=True)):
            if len(found) != 1:
                raise ValueError(
                    f"`layers`: layer {layer.path!r} must be called once by the model, it is "
                    f"called {len(found)} times."
                )
            rows = _pooled(*found[0])
            totals[number] = totals[number] + rows.T @ rows
        count += len(rows)
    if not count:
        raise ValueError(f"`{argument}` holds no samples.")
    return [total / count for total in totals]


@contextlib.contextmanager
def _recorded(model, layers) -> Iterator[list[list[tuple[Any, Any]]]]:
    calls: list[list[tuple[Any, Any]]] = [[] for _ in layers]
    masks: dict[int, Any] = {}

    def observe(number, inputs, mask):
        masks[number] = mask

    def watched(number, activation):
        def activate(x):
            calls[number].append((x, masks.get(number)))
            return x if activation is None else activation(x)

        return activate

    with contextlib.ExitStack() as stack:
        stack.enter_context(observed_inputs(model, layers, observe))
        for number, layer in enumerate(layers):
            replacement = watched(number, layer.activation)
            stack.enter_context(_replaced(layer, "activation", replacement))
        yield calls


def _pooled(values, mask):
    values = ops.convert_to_numpy(ops.cast(values, "float32")).astype("float64")
    if mask is not None:
        mask = ops.convert_to_numpy(mask).astype("float64")
        values = values * mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim))
    return values.reshape(len(values), -1, values.shape[-1]).sum(axis=1)
