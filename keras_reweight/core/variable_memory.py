"""What a train step remembers of a weight, stored like the weight."""

from __future__ import annotations

import keras
import numpy as np

from keras_reweight.core.masks import add_optimizer_variable


def add_variable_memory(
    optimizer, variable: keras.Variable, initial: np.ndarray, *, name: str
) -> keras.Variable:
    """An optimizer variable; of the shape of `variable`, it is spread over the devices like it."""
    same_shape = tuple(initial.shape) == tuple(variable.shape)
    layout = getattr(variable, "_layout", None) if same_shape else None
    return add_optimizer_variable(optimizer, initial, name=name, layout=layout)
