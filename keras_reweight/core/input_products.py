"""What single inputs of layers are worth to a scalar: input times gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._closed_form import _replaced
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction


def make_input_products(
    fn: Callable,
    layers: Sequence[keras.layers.Layer],
    reduce: Callable[[int, Any], Any],
) -> Callable:
    """`(*args) -> [for each layer, the sum over its calls of reduce(number, a * dfn/da)]`.

    `a` is the input of the layer, `fn` returns a scalar or values that are summed. One backward
    pass gives all of them, sample by sample, also where `fn` mixes the samples of a batch.

    Raises:
        ValueError: At the call, if a layer is not called or gets no single tensor.
    """
    pure = PureFunction(fn, [])

    def traced(values, other_values, *args):
        def watched(tap):
            inputs: dict[str, Any] = {}
            with contextlib.ExitStack() as stack:
                for number, layer in enumerate(layers):
                    call = _tapped_call(layer, number, tap, inputs)
                    stack.enter_context(_replaced(layer, "call", call))
                result, _ = pure(values, other_values, *args)
            return ops.sum(result), inputs

        inputs, gradients = active_backend().tap_gradients(watched)
        totals: list[Any] = [None] * len(layers)
        for name, tensor in inputs.items():
            number = int(name.split(":")[0])
            product = reduce(number, _wide(tensor) * _wide(gradients[name]))
            totals[number] = product if totals[number] is None else totals[number] + product
        missing = [layer.path for layer, total in zip(layers, totals, strict=True) if total is None]
        if missing:
            raise ValueError(f"`layers`: {missing} are not called by the model.")
        return totals

    return BuiltFunction(pure, traced)


def _tapped_call(layer, number, tap, seen):
    original = layer.call

    def call(inputs, *args, **kwargs):
        if not ops.is_tensor(inputs):
            raise ValueError(f"`layers`: {layer.path!r} does not get one tensor.")
        name = f"{number}:{sum(key.startswith(f'{number}:') for key in seen)}"
        seen[name] = tap(name, inputs)
        return original(seen[name], *args, **kwargs)

    return call


def _wide(tensor):
    """Half precision as float32."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return ops.cast(tensor, "float32") if dtype in ("float16", "bfloat16") else tensor
