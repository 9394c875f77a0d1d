"""Forgetting the compiled gradient functions of a model."""

from __future__ import annotations

import keras

from keras_reweight.core.gradients._cache import forget


def clear_gradient_cache(model: keras.Model) -> None:
    """Drop the compiled functions that the gradient functions remember for a model.

    They are remembered so that a second call does not compile again, and they notice other
    variables, layers, `trainable` flags, dtype policies and losses by themselves. What they cannot
    notice is a changed plain attribute, such as another `layer.activation` or `dropout.rate`: on
    JAX and TensorFlow the compiled function keeps the old one, as `fit` does. Call this after such
    a change.

    Args:
        model: A `keras.Model`.

    Returns:
        `None`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import clear_gradient_cache, value_and_grad

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="relu")])
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    value_and_grad(model, x, y, loss="mse")
    model.layers[0].activation = keras.activations.tanh
    clear_gradient_cache(model)
    value_and_grad(model, x, y, loss="mse")
    ```

    Reference:
        None; plumbing of the gradient functions.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"clear_gradient_cache: `model` must be a keras.Model, got {model!r} of type "
            f"{type(model).__name__}."
        )
    forget(model)
