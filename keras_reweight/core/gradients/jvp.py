"""Derivative of every sample's loss along a direction in weight space."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._chunks import check_chunking, chunks, head, join
from keras_reweight.core.gradients._function import check_vector
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.make_jvp import make_jvp


def jvp(
    model: keras.Model,
    x: Any,
    y: Any,
    vector: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    batch_size: int | None = None,
    verbose: int = 0,
) -> tuple[Any, Any]:
    """Per-sample losses and `<gradient of loss_i, vector>` in one forward pass.

    With the gradient of a validation batch as the vector this is the first-order influence of every
    sample on that batch (TracIn, domain and data alignment), without per-sample gradients. `loss_i`
    is the loss of sample `i` in a batch of its own, times its weight.

    A sample alone has no batch statistics, so `training=True` is refused for models with an
    unfrozen BatchNormalization layer. Nothing is written; Dropout repeats its masks.

    Args:
        model: A built `keras.Model`.
        x: Float or integer array of shape `(batch, ...)`, or a list, tuple or dict of such arrays.
        y: Float or integer array of labels, of shape `(batch, ...)`, or a list or dict with one
            per output.
        vector: List of float arrays, one of the shape of each variable.
        loss: Loss name, function of `(y_true, y_pred)`, `keras.losses.Loss`, or a list or dict of
            these per output. Defaults to `None`, the compiled loss with its `loss_weights`.
        sample_weight: Float array of shape `(batch,)` or as the loss values, or one per output.
            Defaults to `None`.
        training: Bool, the mode of the forward pass. Defaults to `False`.
        variables: List of `keras.Variable` of the model, or a selection of layers (names, patterns,
            layers, predicates). Defaults to `model.trainable_variables`.
        batch_size: Integer, samples worked on together. Defaults to `None`, all.
        verbose: `0`, `1` or `2`, progress bar as in Keras. Defaults to `0`.

    Returns:
        Tuple of two float tensors of shape `(batch,)`: losses and directional derivatives.

    Raises:
        ValueError: If the vector does not fit the variables, for `training=True` with an unfrozen
            BatchNormalization, if the model is not built or has no loss, labels, weights and
            predictions do not fit each other, or a selection is empty or unknown. Nothing has run
            then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import jvp, value_and_grad

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    _, direction, _ = value_and_grad(model, x[:1], y[:1], loss="mse")
    losses, alignment = jvp(model, x, y, direction, loss="mse")
    ```

    Reference:
        Pruthi et al., "Estimating Training Data Influence by Tracing Gradient Descent", NeurIPS
        2020, arXiv 2002.08484, section 3, for the use; forward mode computes it.

    Cost:
        About two to three forward passes, no backward pass, no stored activations.
    """
    check_chunking(batch_size, verbose)
    arguments = check_arguments(
        "jvp",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        variables=variables,
        per_sample=True,
    )
    vector = check_vector(vector, arguments.variables)

    def build():
        objective = Objective(model, arguments.spec, training=arguments.training)
        return make_jvp(objective.samples, arguments.variables, others=arguments.others)

    function = cached(model, ("jvp", arguments.key()), arguments.spec, build)
    losses, derivatives = join(
        [
            head(function(vector, *part), count)
            for part, count in chunks(arguments.data, batch_size, verbose)
        ]
    )
    return losses, derivatives
