"""Teach a model to take targets packed with ids, and to forget it again."""

from __future__ import annotations

import keras

from keras_reweight.core import step_hooks


def enable_aux_targets(model: keras.Model) -> None:
    """Let `fit`, `evaluate` and `train_on_batch` of `model` take packed targets.

    Call it once, before the first `fit`. Losses and metrics of the user get the plain targets;
    plain targets (validation data, say) are still accepted. Nothing is saved with the model.

    Args:
        model: A compiled `keras.Model`; outputs and targets of any shape and dtype.

    Returns:
        `None`; the model is changed in place until `disable_aux_targets(model)`.

    Raises:
        TypeError: If `model` is not a `keras.Model`.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    kr.data.enable_aux_targets(model)
    kr.data.disable_aux_targets(model)
    ```

    Reference:
        None; the channel used by `EL2NReweight` and group methods.
    """
    _check_model(model)
    step_hooks.enable_aux(model)


def disable_aux_targets(model: keras.Model) -> None:
    """Undo `enable_aux_targets`: the model takes plain targets only.

    Safe to call on a model that never had them enabled.

    Args:
        model: A `keras.Model`; outputs and targets of any shape and dtype.

    Returns:
        `None`; the model is changed in place.

    Raises:
        TypeError: If `model` is not a `keras.Model`.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    kr.data.disable_aux_targets(model)
    ```

    Reference:
        None; the inverse of `enable_aux_targets`.
    """
    _check_model(model)
    step_hooks.disable_aux(model)


def _check_model(model):
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"`model` must be a keras.Model, got {model!r} of type {type(model).__name__}."
        )
