"""How much each token counts in the products of inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def token_weigher(
    token_weights: Any, model: keras.Model, layers: Sequence[keras.layers.Layer]
) -> Callable | None:
    """`(first_sample, x, number, inputs) -> weights` from the `token_weights` of a user.

    Raises:
        TypeError: If it is neither an array nor callable.
    """
    if token_weights is None:
        return None
    if callable(token_weights):

        def weigh(first_sample, x, number, inputs):
            inputs = ops.convert_to_numpy(ops.cast(inputs, "float32"))
            return token_weights(inputs, x=x, model=model, layer=layers[number])

        return weigh
    if not hasattr(token_weights, "shape") or len(token_weights.shape) < 2:
        raise TypeError(
            "`token_weights` must be None, an array (num_samples, positions) or a function "
            f"(inputs, *, x, model, layer) -> array, got {token_weights!r}."
        )
    array = np.asarray(token_weights, "float64")

    def given(first_sample, x, number, inputs):
        return array[first_sample : first_sample + inputs.shape[0]]

    return given
