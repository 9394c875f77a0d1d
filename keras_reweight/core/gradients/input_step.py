"""The gradient of a function of one tensor, inside a computation that is being traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import stop_gradients


def input_step(fn: Callable, x: Any) -> tuple[Any, Any, Any]:
    """`(values, auxiliary, gradient)` of `fn(x) -> (values, auxiliary)`, all of them constants.

    The gradient is that of the sum of `values`, so that with one value a sample, each a function of
    its own row, the rows of the gradient are those of the samples. Variables are read as they are,
    in the scope around this call; `fn` must assign none (a model in inference mode does not).

    Args:
        fn: Function of one tensor.
        x: Float tensor.
    """

    def objective(leaves):
        values, auxiliary = fn(leaves[0])
        return ops.sum(values), (values, auxiliary)

    backend = active_backend()
    with backend.isolate():
        found = backend.value_and_grad(objective, [ops.stop_gradient(x)])
    _, (values, auxiliary), gradients = stop_gradients(found)
    return values, auxiliary, gradients[0]
