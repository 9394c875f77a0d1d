"""Gradients of any function, one per sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import (
    BuiltFunction,
    PureFunction,
    require_scalar,
    split_tensors,
)
from keras_reweight.core.validation import check_boolean


def make_per_sample_gradients(
    fn: Callable,
    variables: Sequence[keras.Variable],
    *,
    others: Sequence[keras.Variable] = (),
    reduce: Callable | None = None,
    total: bool = False,
    jit: bool = True,
) -> Callable:
    """Build a function for the gradient of `fn` on every sample alone.

    `fn` gets batches of one, `fn(x[i:i+1], y[i:i+1])`, and returns a scalar. What is wanted of a
    sample's gradients can often be computed at once (a norm, a dot product, squares to be summed):
    `reduce` does it inside the map, so that the gradients of all samples need not exist together.

    JAX and torch run the samples through `vmap`, TensorFlow through `tf.map_fn` (its vectorizing
    map can kill the process). What torch cannot vectorize, above all channels-last convolutions,
    is done sample by sample. Random layers draw the same numbers for every sample.

    Args:
        fn: Function of arrays or nested structures of arrays with a batch axis of one, returning a
            scalar float tensor.
        variables: List of `keras.Variable` to differentiate.
        others: List of further `keras.Variable` that `fn` reads. Those left out are found while
            tracing, at the price of tracing twice. Defaults to `()`.
        reduce: Function of one sample's list of gradients, returning a float tensor of any shape or
            a list of such. Defaults to the gradients themselves.
        total: Whether to sum over the samples instead of stacking. Defaults to `False`.
        jit: Whether to compile. Defaults to `True`.

    Returns:
        A callable `(*args) -> results`: what `reduce` returns, with a leading axis `batch`, or
        summed over it. By default a list of float tensors of shape `(batch, *variable.shape)`.

    Raises:
        TypeError: If `fn` is no function, or `variables` or `others` hold something else than
            variables.
        ValueError: If `fn` does not return a scalar (at the first call).

    Example:

    ```python
    import keras
    import numpy as np
    from keras import ops
    from keras_reweight.gradients import make_per_sample_gradients

    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    norms = make_per_sample_gradients(
        lambda x: ops.sum(ops.square(layer(x))),
        layer.trainable_variables,
        reduce=lambda gradients: ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients)),
    )
    norms(np.ones((4, 3), "float32"))  # shape (4,)
    ```

    Reference:
        None; plumbing of the gradient functions.

    Cost:
        One forward and one backward pass per sample; memory for the results, with `vmap` also for
        the gradients of all samples of the call.
    """
    if not (reduce is None or callable(reduce)):
        raise TypeError(f"`reduce` must be a function or None, got {reduce!r}.")
    check_boolean("total", total)
    return build_per_sample(fn, variables, others, reduce=reduce, total=total, jit=jit)


def build_per_sample(fn, variables, others, *, reduce=None, total=False, jit=True, loop=False):
    """As `make_per_sample_gradients`; `loop` says beforehand that `vmap` will not work."""
    pure = PureFunction(fn, variables, others)
    state = {"loop": loop}

    def traced(values, other_values, *args):
        leaves, rebuild = split_tensors(args)

        def objective(values, sample):
            alone = rebuild([ops.expand_dims(leaf, 0) for leaf in sample])
            return require_scalar(pure(values, other_values, *alone)[0], "`fn`")

        return active_backend().per_sample(
            objective, values, leaves, reduce or (lambda gradients: gradients), total, state
        )

    return BuiltFunction(pure, traced, jit=jit)
