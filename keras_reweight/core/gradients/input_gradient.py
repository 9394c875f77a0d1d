"""Gradient of every sample's loss with respect to its inputs."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.make_input_gradient import make_input_gradient
from keras_reweight.core.validation import check_boolean


def input_gradient(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    differentiable: bool = False,
) -> Any:
    """Gradient of the loss with respect to the inputs, one row per sample.

    Row `i` is the gradient of the loss of sample `i` alone (not divided by the batch size): what
    adversarial attacks and saliency need. It works outside of training as well as inside
    `compute_loss` or a loss function, under the compiled train step. There the result is a constant
    for the gradient of the step, as adversarial training wants it; with `differentiable=True` the
    step differentiates through it, as gradient penalties want it.

    With `training=True` BatchNormalization uses batch statistics, which couple the samples: row `i`
    is then the gradient of the summed loss. Statistics and seeds are never written, so Dropout
    repeats its masks. For the gradient of a logit instead of a loss see `make_input_gradient`.

    Args:
        model: A built `keras.Model`.
        x: Float array of shape `(batch, ...)`, or a list, tuple or dict of arrays.
        y: Float or integer array of labels, of shape `(batch, ...)`, or a list or dict with one
            per output.
        loss: Loss name, function of `(y_true, y_pred)`, `keras.losses.Loss`, or a list or dict of
            these per output. Defaults to `None`, the compiled loss with its `loss_weights`.
        sample_weight: Float array of shape `(batch,)` or as the loss values, or one per output.
            Defaults to `None`.
        training: Bool, the mode of the forward pass. Defaults to `False`.
        differentiable: Whether an outer gradient sees through the result. Defaults to `False`.

    Returns:
        Float tensor of the shape of `x`, or the structure of `x` with `None` in the place of
        integer inputs.

    Raises:
        ValueError: If no input is floating point, if the model is not built or has no loss, or
            labels, weights and predictions do not fit each other. Nothing has run then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras import ops
    from keras_reweight.gradients import input_gradient

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    attacked = ops.add(x, 0.1 * ops.sign(input_gradient(model, x, y, loss=loss)))
    ```

    Reference:
        Goodfellow, Shlens and Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015,
        arXiv 1412.6572, section 4.

    Cost:
        One forward and one backward pass.
    """
    check_boolean("differentiable", differentiable)
    arguments = check_arguments(
        "input_gradient",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        of_inputs=True,
    )

    def build():
        objective = Objective(model, arguments.spec, training=arguments.training)
        return make_input_gradient(
            objective.samples, others=arguments.others, differentiable=differentiable
        )

    key = ("input_gradient", differentiable, arguments.key())
    return cached(model, key, arguments.spec, build)(*arguments.data)
