"""Loss of a model on a batch and its gradient with respect to variables."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.make_value_and_grad import make_value_and_grad
from keras_reweight.core.validation import check_boolean


def value_and_grad(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    regularization: bool = False,
) -> tuple[Any, list, list]:
    """Loss of a batch and its gradient, as `fit` would compute it, with nothing written.

    For probe gradients in callbacks, gradient agreement between groups or tasks, sharpness-aware
    steps. Works on Functional, Sequential and subclassed models with one or several inputs and
    outputs; sample weights, masks and `loss_weights` act as in `fit`.

    BatchNormalization and Dropout follow `training`. Statistics and seeds are not written: what the
    pass would have assigned is returned as `updates`. Without committing them, repeated calls draw
    the same Dropout masks. Under mixed precision the gradients are float32 (unscaled, so with
    float16 small ones may be lost). The function is compiled once per model, loss, `training` and
    selection; inside a train step it becomes part of the step and its results are constants.

    Args:
        model: A built `keras.Model`.
        x: Float or integer array of shape `(batch, ...)`, or a list, tuple or dict of such arrays.
        y: Float or integer array of labels, of shape `(batch, ...)`, or a list or dict with one
            per output.
        loss: Loss name, function of `(y_true, y_pred)`, `keras.losses.Loss`, or a list or dict of
            these per output. Defaults to `None`, the compiled loss with its `loss_weights`.
        sample_weight: Float array of shape `(batch,)` or as the loss values, or one per output.
            Defaults to `None`.
        training: Bool, the mode of the forward pass. Defaults to `False`.
        variables: List of `keras.Variable` of the model, or a selection of layers (names, patterns,
            layers, predicates). Defaults to `model.trainable_variables`.
        regularization: Whether to add `model.losses` (weight and activity regularizers,
            `add_loss`). Defaults to `False`.

    Returns:
        Tuple `(value, gradients, updates)`: float scalar; list of float tensors shaped like the
        variables, zeros for those without influence; list of `(variable, value)` pairs for
        `commit_updates`.

    Raises:
        ValueError: If the model is not built or has no loss, if labels, weights and predictions do
            not fit each other, or a selection is empty or unknown. Nothing has run then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import value_and_grad

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    value, gradients, updates = value_and_grad(model, x, y, loss=loss)
    ```

    Reference:
        None; reverse-mode differentiation as the running backend provides it.

    Cost:
        One forward and one backward pass.
    """
    check_boolean("regularization", regularization)
    arguments = check_arguments(
        "value_and_grad",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        variables=variables,
    )

    def build():
        objective = Objective(
            model, arguments.spec, training=arguments.training, regularization=regularization
        )
        return make_value_and_grad(objective.batch, arguments.variables, others=arguments.others)

    key = ("value_and_grad", regularization, arguments.key())
    return cached(model, key, arguments.spec, build)(*arguments.data)
