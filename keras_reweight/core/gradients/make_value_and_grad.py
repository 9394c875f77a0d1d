"""Value and gradient of any function of Keras variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import (
    BuiltFunction,
    PureFunction,
    pair_updates,
    require_scalar,
)


def make_value_and_grad(
    fn: Callable,
    variables: Sequence[keras.Variable],
    *,
    others: Sequence[keras.Variable] = (),
    jit: bool = True,
) -> Callable:
    """Build a function for the value and the gradient of `fn` with respect to Keras variables.

    For objectives that are not "a model on a batch with a loss": several models, penalties on
    weights, distances between representations. Build once, call often: the function is compiled at
    the first call (JAX, TensorFlow). It never writes a variable; assignments that `fn` makes are
    returned instead. Inside a train step it becomes part of that step.

    Args:
        fn: Function of any number of arrays or nested structures of arrays, returning a scalar
            float tensor, written with Keras layers and `keras.ops`.
        variables: List of `keras.Variable` to differentiate.
        others: List of further `keras.Variable` that `fn` reads. Those left out are found while
            tracing, at the price of tracing twice. Defaults to `()`.
        jit: Whether to compile. Defaults to `True`.

    Returns:
        A callable `(*args) -> (value, gradients, updates)`: float scalar; list of float tensors
        shaped like the variables, zeros where `fn` does not use one; list of `(variable, value)`
        pairs for `commit_updates`.

    Raises:
        TypeError: If `fn` is no function, or `variables` or `others` hold something else than
            variables.
        ValueError: If `fn` does not return a scalar (at the first call).

    Example:

    ```python
    import keras
    import numpy as np
    from keras import ops
    from keras_reweight.gradients import make_value_and_grad

    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    function = make_value_and_grad(
        lambda x: ops.mean(ops.square(layer(x))), layer.trainable_variables
    )
    value, gradients, updates = function(np.ones((4, 3), "float32"))
    ```

    Reference:
        None; plumbing of the gradient functions.

    Cost:
        One forward and one backward pass.
    """
    pure = PureFunction(fn, variables, others)

    def traced(values, other_values, *args):
        def objective(values):
            value, updates = pure(values, other_values, *args)
            return require_scalar(value, "`fn`"), updates

        return active_backend().value_and_grad(objective, values)

    built = BuiltFunction(pure, traced, jit=jit)

    def function(*args):
        value, updates, gradients = built(*args)
        return value, gradients, pair_updates(pure, updates)

    return function
