"""Writing what a gradient function collected instead of writing it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


def commit_updates(updates: Iterable[tuple[keras.Variable, Any]]) -> None:
    """Assign the updates that `value_and_grad` returns beside the gradients.

    A forward pass with `training=True` wants to move BatchNormalization statistics and to advance
    the seeds of Dropout. The gradient functions only collect these assignments. Commit them where
    the pass counts as a training step, and leave them out for probes: the second pass of a
    sharpness-aware step must not move the statistics again, and repeated calls see the same Dropout
    masks until a commit advances the seeds.

    Args:
        updates: Iterable of `(variable, value)` pairs, each value a tensor of the variable's shape
            and dtype.

    Returns:
        `None`.

    Raises:
        TypeError: If `updates` is not an iterable of pairs.
        ValueError: If a value does not have the shape of its variable.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import commit_updates, value_and_grad

    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.BatchNormalization(), keras.layers.Dense(1)]
    )
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 1), "float32")
    _, _, updates = value_and_grad(model, x, y, loss="mse", training=True)
    commit_updates(updates)
    ```

    Reference:
        None; plumbing of the gradient functions.
    """
    try:
        pairs = [(variable, value) for variable, value in updates]
    except TypeError as error:
        raise TypeError(f"`updates` must be (variable, value) pairs, got {updates!r}.") from error
    for variable, _ in pairs:
        if not isinstance(variable, keras.Variable):
            raise TypeError(f"`updates` must begin with keras.Variable, got {variable!r}.")
    for variable, value in pairs:
        variable.assign(value)
