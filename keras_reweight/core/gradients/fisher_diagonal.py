"""Diagonal of the empirical Fisher information."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._chunks import check_chunking, chunks
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients._torch_limits import needs_loop
from keras_reweight.core.gradients.make_per_sample_gradients import build_per_sample


def fisher_diagonal(
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
    """Mean over the samples of the squared per-sample gradients.

    `F = mean_i (grad loss_i)^2`, elementwise: how sensitive the loss is to each weight. For
    pruning, quantization, elastic weight consolidation and selective forgetting. Squaring the
    gradient of a batch instead would cancel samples against each other and give something else.

    With the observed labels this is the empirical Fisher information. For the true one draw `y`
    from the predicted distribution of the model. With `sample_weight`, gradients are weighted
    before they are squared.

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
        List of non-negative float tensors shaped like the variables.

    Raises:
        ValueError: For `training=True` with an unfrozen BatchNormalization, if the model is not
            built or has no loss, if labels, weights and predictions do not fit each other, or a
            selection is empty or unknown. Nothing has run then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import fisher_diagonal

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    kernel, bias = fisher_diagonal(model, x, y, loss=loss)  # (3, 2) and (2,)
    ```

    Reference:
        Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 114(13),
        2017, arXiv 1612.00796, section 2; Kunstner, Balles and Hennig, "Limitations of the
        Empirical Fisher Approximation for Natural Gradient Descent", NeurIPS 2019, arXiv
        1905.12558, equation 3, for what it is not.

    Cost:
        One forward and one backward pass per sample. Memory on JAX and torch of `batch_size` times
        the size of the variables, otherwise of one sample.
    """
    check_chunking(batch_size, verbose)
    arguments = check_arguments(
        "fisher_diagonal",
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

        def counted(count, x, y, sample_weight):
            value = objective.sample(x, y, sample_weight)
            # Samples that only fill up the last chunk count nothing.
            return value * ops.cast(count[0], value.dtype)

        return build_per_sample(
            counted,
            arguments.variables,
            arguments.others,
            reduce=lambda gradients: [ops.square(gradient) for gradient in gradients],
            total=True,
            loop=needs_loop(model),
        )

    function = cached(model, ("fisher_diagonal", arguments.key()), arguments.spec, build)
    sums: Any = None
    for part, count in chunks(arguments.data, batch_size, verbose):
        size = _number_of_samples(part)
        # NumPy where the size is known: tiny operations would be compiled one by one on JAX.
        if count is None:
            counts = ops.ones((size,))
        else:
            counts = (np.arange(size) < count).astype("float32")
        squares = function(counts, *part)
        sums = squares if sums is None else [a + b for a, b in zip(sums, squares, strict=True)]
    size = _number_of_samples(arguments.x)
    return [total / ops.cast(size, total.dtype) for total in sums]


def _number_of_samples(structure):
    return ops.shape(next(leaf for leaf in tree.flatten(structure) if leaf is not None))[0]
