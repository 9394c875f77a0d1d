"""Norm of every sample's gradient, without the gradients where the layers allow it."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.gradients._arguments import Arguments, check_arguments
from keras_reweight.core.gradients._cache import cached
from keras_reweight.core.gradients._chunks import check_chunking, chunks, head, join
from keras_reweight.core.gradients._closed_form import NoClosedForm, build_closed_form, plan_layers
from keras_reweight.core.gradients._objective import Objective
from keras_reweight.core.gradients._torch_limits import needs_loop
from keras_reweight.core.gradients.make_per_sample_gradients import build_per_sample
from keras_reweight.core.validation import check_choice


def per_sample_gradient_norms(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
    variables: Any = None,
    method: str = "auto",
    batch_size: int | None = 32,
    verbose: int = 0,
) -> Any:
    """Euclidean norm of every sample's gradient with respect to the chosen variables together.

    The score behind GraNd, importance sampling and clipping. The closed form needs one forward and
    one backward pass of the whole batch and no gradient of any sample: for a dense layer with input
    `a_i` and gradient `d_i` at its pre-activation, `|grad_i|^2 = (|a_i|^2 + 1) |d_i|^2`, and with
    several positions per sample `sum_ts (<a_it, a_is> + 1) <d_it, d_is>`.

    Closed forms exist for Dense, EinsumDense (hence MultiHeadAttention), Conv1D, Conv2D, Embedding,
    LayerNormalization, RMSNormalization and BatchNormalization in inference mode. `"auto"` takes
    the closed form if every chosen variable belongs to one of these (exact types, each called once)
    and `training` is false, otherwise `"map"`: a gradient per sample, reduced at once. The closed
    form requires that the model does not mix the samples of a batch in code of its own, and that
    no layer is called inside `ops.scan`, `ops.map` or `ops.while_loop`; use `"map"` for such
    models.

    A sample alone has no batch statistics, so `training=True` is refused for models with an
    unfrozen BatchNormalization layer. Under `"map"` Dropout draws the same mask for every sample.
    Nothing is written.

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
        method: `"auto"`, `"closed_form"` or `"map"`. Defaults to `"auto"`.
        batch_size: Integer, samples worked on together, or `None` for all. Defaults to `32`.
        verbose: `0`, `1` or `2`, progress bar as in Keras. Defaults to `0`.

    Returns:
        Float tensor of shape `(batch,)`.

    Raises:
        ValueError: If `method="closed_form"` and the model does not allow it, for `training=True`
            with an unfrozen BatchNormalization, if the model is not built or has no loss, if
            labels, weights and predictions do not fit each other, or a selection is empty or
            unknown.
        TypeError: If an argument is of the wrong kind.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import per_sample_gradient_norms

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x, y = np.ones((4, 3), "float32"), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    norms = per_sample_gradient_norms(model, x, y, loss=loss)  # shape (4,)
    ```

    Reference:
        Goodfellow, "Efficient Per-Example Gradient Computations", arXiv 1510.01799, section 4
        (dense); Rochette, Manoel and Tramel, "Efficient Per-Example Gradient Computations in
        Convolutional Neural Networks", arXiv 1912.06015; Bu, Mao and Xu, "Scalable and Efficient
        Training of Large Convolutional Neural Networks with Differential Privacy", NeurIPS 2022,
        arXiv 2205.10683, section 4 (choice between the two products).

    Cost:
        Closed form: one forward and one backward pass of the batch, plus for `T` positions per
        sample the smaller of `2 T^2` numbers and the size of the kernel, per sample. `"map"`: one
        forward and backward pass per sample. Measured on two CPU cores with 64 samples, the closed
        form is 4 (TensorFlow, torch) to 47 (JAX) times as fast as the map for a dense net of 118k
        weights, 1.1 (JAX) to 9 (torch) times for a small convolutional net, 1.6 to 2.4 times for a
        transformer block.
    """
    check_choice("method", method, ["auto", "closed_form", "map"])
    check_chunking(batch_size, verbose)
    arguments = check_arguments(
        "per_sample_gradient_norms",
        model,
        x,
        y,
        loss=loss,
        sample_weight=sample_weight,
        training=training,
        variables=variables,
        per_sample=True,
    )
    if method == "auto" and arguments.training:
        method = "map"
    key = ("per_sample_gradient_norms", method, arguments.key())
    function = cached(model, key, arguments.spec, lambda: _Norms(arguments, method))
    return join(
        [head(function(*part), n) for part, n in chunks(arguments.data, batch_size, verbose)]
    )


class _Norms:
    """The closed form, or the map where the closed form turns out not to hold."""

    def __init__(self, arguments: Arguments, method: str):
        model, variables, others = arguments.model, arguments.variables, arguments.others
        objective = Objective(model, arguments.spec, training=arguments.training)
        self.method = method
        self.closed_form = None
        if method != "map":
            plans, reason = plan_layers(model, variables)
            if reason is None:
                self.closed_form = build_closed_form(
                    objective.samples, variables, others, plans, reduce=_root_of_sum
                )
            elif method == "closed_form":
                raise ValueError(_no_closed_form(reason))
        self.mapped = build_per_sample(
            objective.sample, variables, others, reduce=_norm, loop=needs_loop(model)
        )

    def __call__(self, *data):
        if self.closed_form is not None:
            try:
                return self.closed_form(*data)
            except NoClosedForm as problem:
                if self.method == "closed_form":
                    raise ValueError(_no_closed_form(problem)) from problem
                self.closed_form = None
        return self.mapped(*data)


def _no_closed_form(reason):
    return f'`method="closed_form"` is not possible: {reason}. Use "auto" or "map".'


def _norm(gradients):
    return _root_of_sum([ops.sum(ops.square(gradient)) for gradient in gradients])


def _root_of_sum(squares):
    return ops.sqrt(sum(squares))
