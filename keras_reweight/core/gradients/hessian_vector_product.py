"""Hessian of the loss of a model times a vector."""

from __future__ import annotations

from typing import Any

import keras

from keras_reweight.core.gradients._arguments import check_arguments
from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._function import check_vector
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients.make_hessian_vector_product import make_hessian_vector_product
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_boolean, check_choice


def hessian_vector_product(
    model: keras.Model,
    x: Any,
    y: Any,
    vector: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    regularization: bool = False,
    method: str = "auto",
) -> list:
    """`H v` for the Hessian `H` of the batch loss, without building `H`.

    For influence functions (conjugate gradients, LiSSA), curvature measures and second-order
    pruning. `"exact"` differentiates twice. On TensorFlow that is wrong through `tf.nn.moments`,
    which stops a gradient that only second derivatives need; the moments of `keras.ops`, hence all
    Keras layers, are traced differently here and are right. Own layers that call `tf.nn.moments`
    need `"finite_difference"`, the difference of two gradients. It is for smooth activations: a
    ReLU that switches between the two points ruins it. `"auto"` is exact, except for models with
    LayerNormalization, GroupNormalization or BatchNormalization in training mode where the moments
    of `keras.ops` cannot be replaced (a Keras whose internals have changed).

    Nothing is written; Dropout repeats its masks, also between the two gradients of a difference.

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
        regularization: Whether to add `model.losses`. Defaults to `False`.
        method: `"auto"`, `"exact"` or `"finite_difference"`. Defaults to `"auto"`.

    Returns:
        List of float tensors shaped like the variables.

    Raises:
        ValueError: If the vector does not fit the variables, `method` is unknown, the model is not
            built or has no loss, labels, weights and predictions do not fit each other, or a
            selection is empty or unknown. Nothing has run then.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import hessian_vector_product

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 2), "float32")
    vector = [np.ones(variable.shape, "float32") for variable in model.trainable_variables]
    product = hessian_vector_product(model, x, y, vector, loss="mse")
    ```

    Reference:
        Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6(1), 1994,
        equation 3 (exact) and section 2 (finite differences).

    Cost:
        Exact: about two forward and two backward passes. Finite differences: two gradients, and
        relative errors around 1e-3 in float32.
    """
    check_choice("method", method, ["auto", "exact", "finite_difference"])
    check_boolean("regularization", regularization)
    arguments = check_arguments(
        "hessian_vector_product",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        variables=variables,
    )
    vector = check_vector(vector, arguments.variables)
    if method == "auto":
        method = resolve_method(model, arguments.training)

    def build():
        objective = Objective(
            model, arguments.spec, training=arguments.training, regularization=regularization
        )
        return make_hessian_vector_product(
            objective.batch, arguments.variables, others=arguments.others, method=method
        )

    key = ("hessian_vector_product", regularization, method, arguments.key())
    return cached(model, key, arguments.spec, build)(vector, *arguments.data)


def resolve_method(model: keras.Model, training: bool) -> str:
    """The method that is right for this model on the running backend."""
    if active_backend().differentiates_moments_twice():
        return "exact"
    for layer in all_layers(model):
        if isinstance(layer, (keras.layers.LayerNormalization, keras.layers.GroupNormalization)):
            return "finite_difference"
        if isinstance(layer, keras.layers.BatchNormalization) and training and layer.trainable:
            return "finite_difference"
    return "exact"
