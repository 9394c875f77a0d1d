"""Gradient of every sample's loss with respect to variables."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._chunks import check_chunking, chunks, head, join
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients._torch_limits import needs_loop
from keras_reweight.core.gradients.make_per_sample_gradients import build_per_sample


def per_sample_gradients(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    batch_size: int | None = 32,
    verbose: int = 0,
) -> list:
    """Gradients of the loss with respect to variables, one per sample.

    `gradients[k][i]` is the gradient of `sample_weight[i] * loss_i` with respect to variable `k`,
    where `loss_i` is the loss of sample `i` in a batch of its own. If only norms, squares or dot
    products are wanted, `per_sample_gradient_norms`, `fisher_diagonal` and `jvp` get them for less.

    A sample alone has no batch statistics, so `training=True` is refused for models with an
    unfrozen BatchNormalization layer. Dropout draws the same mask for every sample. Nothing is
    written.

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
        batch_size: Integer, samples worked on together, or `None` for all. Defaults to `32`.
        verbose: `0`, `1` or `2`, progress bar as in Keras. Defaults to `0`.

    Returns:
        List of float tensors of shape `(batch, *variable.shape)`, one per variable.

    Raises:
        ValueError: For `training=True` with an unfrozen BatchNormalization, if the model is not
            built or has no loss, if labels, weights and predictions do not fit each other, or a
            selection is empty or unknown. Nothing has run then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import per_sample_gradients

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    kernel, bias = per_sample_gradients(model, x, y, loss="mse")  # (4, 3, 2) and (4, 2)
    ```

    Reference:
        None; differentiation of a batch of one, mapped over the samples.

    Cost:
        Memory of `batch` times the size of the variables. One forward and backward pass per sample,
        vectorized on JAX and torch (channels-last convolutions on torch one by one), in a compiled
        loop on TensorFlow.
    """
    check_chunking(batch_size, verbose)
    arguments = check_arguments(
        "per_sample_gradients",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        variables=variables,
        per_sample=True,
    )

    def build():
        objective = Objective(model, arguments.spec, training=arguments.training)
        return build_per_sample(
            objective.sample, arguments.variables, arguments.others, loop=needs_loop(model)
        )

    function = cached(model, ("per_sample_gradients", arguments.key()), arguments.spec, build)
    return join(
        [head(function(*part), n) for part, n in chunks(arguments.data, batch_size, verbose)]
    )
