"""Directional derivatives of any function of Keras variables in forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction, check_vector


def make_jvp(
    fn: Callable,
    variables: Sequence[keras.Variable],
    *,
    others: Sequence[keras.Variable] = (),
    jit: bool = True,
) -> Callable:
    """Build a function for `fn` and its derivative along a direction in weight space.

    If `fn` returns one loss per sample, one forward pass gives `<gradient_i, vector>` for all
    samples: the alignment of every sample with a given gradient, without per-sample gradients.

    Args:
        fn: Function of any number of arrays or nested structures of arrays, returning a float
            tensor of any shape.
        variables: List of `keras.Variable` to differentiate.
        others: List of further `keras.Variable` that `fn` reads. Those left out are found while
            tracing, at the price of tracing twice. Defaults to `()`.
        jit: Whether to compile. Defaults to `True`.

    Returns:
        A callable `(vector, *args) -> (value, derivative)`; `vector` is a list of float arrays
        shaped like the variables, `value` and `derivative` have the shape `fn` returns.

    Raises:
        TypeError: If `fn` is no function, or `variables` or `others` hold something else than
            variables.
        ValueError: If the vector does not fit the variables (at the call).

    Example:

    ```python
    import keras
    from keras import ops
    from keras_reweight.gradients import make_jvp

    w = keras.Variable([1.0, 2.0])
    derivative = make_jvp(lambda x: ops.matmul(x, ops.square(w)), [w])
    value, tangent = derivative([ops.ones((2,))], ops.eye(2))  # [1, 4] and [2, 4]
    ```

    Reference:
        Baydin et al., "Automatic Differentiation in Machine Learning: a Survey", JMLR 18(153),
        2018, arXiv 1502.05767, section 3.1 (forward mode).

    Cost:
        About two to three forward passes, no backward pass, no stored activations.
    """
    pure = PureFunction(fn, variables, others)

    def traced(values, other_values, vector, *args):
        return active_backend().jvp(
            lambda values: pure(values, other_values, *args)[0], values, vector
        )

    built = BuiltFunction(pure, traced, jit=jit)

    def function(vector, *args):
        return built(check_vector(vector, pure.variables), *args)

    return function
