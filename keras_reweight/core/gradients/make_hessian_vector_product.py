"""Second derivatives of any function of Keras variables along a direction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import (
    BuiltFunction,
    PureFunction,
    check_vector,
    require_scalar,
)
from keras_reweight.core.validation import check_choice


def make_hessian_vector_product(
    fn: Callable,
    variables: Sequence[keras.Variable],
    *,
    others: Sequence[keras.Variable] = (),
    method: str = "exact",
    jit: bool = True,
) -> Callable:
    """Build a function for `H v`, the Hessian of `fn` times a vector, without building `H`.

    `"exact"` differentiates twice. `"finite_difference"` takes the difference of two gradients,
    `(g(w + r v) - g(w - r v)) / 2r`; a ReLU that switches between the two points ruins it. It is
    for functions whose second derivative the backend gets wrong: on TensorFlow those that call
    `tf.nn.moments`, which stops a gradient inside the variance (`keras.ops.moments` is fine here).

    Args:
        fn: Function of any number of arrays or nested structures of arrays, returning a scalar
            float tensor.
        variables: List of `keras.Variable` to differentiate.
        others: List of further `keras.Variable` that `fn` reads. Those left out are found while
            tracing, at the price of tracing twice. Defaults to `()`.
        method: `"exact"` or `"finite_difference"`. Defaults to `"exact"`.
        jit: Whether to compile. Defaults to `True`.

    Returns:
        A callable `(vector, *args) -> product`; both are lists of float tensors shaped like the
        variables.

    Raises:
        TypeError: If `fn` is no function, or `variables` or `others` hold something else than
            variables.
        ValueError: If `method` is unknown, or (at the call) the vector does not fit the variables
            or `fn` does not return a scalar.

    Example:

    ```python
    import keras
    from keras import ops
    from keras_reweight.gradients import make_hessian_vector_product

    w = keras.Variable([1.0, 2.0])
    product = make_hessian_vector_product(lambda: ops.sum(w * w * w), [w])
    product([ops.ones((2,))])  # [[6, 12]]
    ```

    Reference:
        Pearlmutter, "Fast Exact Multiplication by the Hessian", Neural Computation 6(1), 1994,
        equation 3 (exact) and section 2 (finite differences).

    Cost:
        Exact: about two forward and two backward passes. Finite differences: two gradients, and
        relative errors of about 1e-3 in float32.
    """
    check_choice("method", method, ["exact", "finite_difference"])
    pure = PureFunction(fn, variables, others)

    def traced(values, other_values, vector, *args):
        backend = active_backend()

        def objective(values):
            return require_scalar(pure(values, other_values, *args)[0], "`fn`")

        if method == "exact":
            return backend.hessian_vector_product(objective, values, vector)
        return _difference(backend, objective, values, vector)

    built = BuiltFunction(pure, traced, jit=jit)

    def function(vector, *args):
        return built(check_vector(vector, pure.variables), *args)

    return function


def _difference(backend, objective, values, vector):
    epsilon = 2.2e-16 if keras.backend.standardize_dtype(values[0].dtype) == "float64" else 1.2e-7
    length = _norm(vector)
    # Longer steps round less, but meet more kinks of piecewise linear activations.
    step = epsilon**0.5 * (1.0 + _norm(values)) / ops.where(length > 0, length, 1.0)

    def gradients(sign):
        shifted = [v + sign * step * part for v, part in zip(values, vector, strict=True)]
        with backend.isolate():
            return backend.value_and_grad(lambda at: (objective(at), ()), shifted)[2]

    pairs = zip(gradients(1.0), gradients(-1.0), strict=True)
    return [(up - down) / (2.0 * step) for up, down in pairs]


def _norm(tensors):
    return ops.sqrt(sum(ops.sum(ops.square(tensor)) for tensor in tensors))
