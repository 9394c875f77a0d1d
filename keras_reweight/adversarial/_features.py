"""Features of the pass on adversarial inputs, for objectives that read them."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.layer_calls import last_weighted_layer, one_layer
from keras_reweight.core.observed_inputs import steps_inside


def feature_layer(model: keras.Model, features: Any) -> keras.layers.Layer:
    """The layer whose outputs are the features; for `None` the last one, by its inputs.

    Raises:
        ValueError: If there is no such layer, or what it computes cannot leave a loop.
        TypeError: If `features` is nothing that names layers.
    """
    if features is None:
        return last_weighted_layer(model)
    layer = one_layer(model, features, argument="features")
    loop = steps_inside(model).get(id(layer))
    if loop is not None:
        raise ValueError(f"`features`={features!r} is called step by step by {loop!r}: name that.")
    return layer


def features_of(calls: list[tuple[Any, Any]], layer: keras.layers.Layer, features: Any) -> Any:
    """Float tensor of shape `(batch, features)` from the recorded calls of the layer.

    Raises:
        ValueError: If the layer was not called once, or gives no single tensor.
    """
    found = [inputs if features is None else outputs for inputs, outputs in calls]
    if len(found) != 1 or not ops.is_tensor(found[0]):
        raise ValueError(
            f"`features`={features!r}: the layer {layer.path!r} must be called once, with and for "
            f"one tensor; it was called {len(found)} times. Name another layer."
        )
    return ops.reshape(found[0], (ops.shape(found[0])[0], -1))
