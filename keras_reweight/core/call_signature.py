"""Layers that take the arguments of another layer."""

from __future__ import annotations

import inspect
from typing import Any

import keras


def adopt_call_signature(layer: keras.layers.Layer, other: keras.layers.Layer) -> None:
    """Let Keras treat `layer`, whose `call` takes anything, as if its `call` were that of `other`.

    Keras matches tensors, masks and `training` with the arguments of `call` by their names, and
    puts what it filled in into the graph of a functional model. A layer that stands in for another
    one must be asked for the same arguments, or the graph does not fit when the two are exchanged.
    """
    signature = inspect.signature(other.call)
    names = [parameter.name for parameter in signature.parameters.values()]
    # Past the attribute tracker, which would wrap the list.
    vars(layer).update(
        _call_signature=signature,
        call_signature_parameters=names,
        _call_has_training_arg="training" in names,
        _call_has_mask_arg="mask" in names,
        _call_has_context_arg={name: name in names for name in layer._call_context_args},
        _convert_input_args=other._convert_input_args,
        _allow_non_tensor_positional_args=other._allow_non_tensor_positional_args,
    )


def symbolic_like(values: Any) -> Any:
    """A structure with a fresh symbolic tensor for each tensor or array in `values`."""

    def symbol(value):
        if not (keras.ops.is_tensor(value) or hasattr(value, "__array__")) and not isinstance(
            value, keras.KerasTensor
        ):
            return value
        dtype = keras.backend.standardize_dtype(value.dtype)
        return keras.KerasTensor(tuple(value.shape), dtype=dtype)

    return keras.tree.map_structure(symbol, values)
