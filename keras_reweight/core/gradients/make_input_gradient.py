"""Gradient of any function with respect to one of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
from keras import ops, tree

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import BuiltFunction, PureFunction, is_float_tensor
from keras_reweight.core.validation import check_boolean, check_integer


def make_input_gradient(
    fn: Callable,
    *,
    others: Sequence[keras.Variable] = (),
    argnum: int = 0,
    differentiable: bool = False,
    jit: bool = True,
) -> Callable:
    """Build a function for the gradient of `sum(fn(*args))` with respect to one argument.

    For anything but the plain loss of a model: the logit of one class (variance of gradients,
    saliency), a distance between two models, a residual. If `fn` returns one value per sample and
    does not mix samples, row `i` of the result is the gradient of value `i`. Build once, call
    often. Inside a train step the function becomes part of that step.

    Args:
        fn: Function of any number of arrays or nested structures of arrays, returning a float
            tensor of shape `(batch,)` or any other shape, which is summed.
        others: List of `keras.Variable` that `fn` reads, usually `model.variables`. Those left out
            are found while tracing, at the price of tracing twice. Defaults to `()`.
        argnum: Integer, position of the argument to differentiate. Defaults to `0`.
        differentiable: Whether an outer gradient sees through the result (gradient penalties,
            attacks that are trained through). By default the result is a constant.
        jit: Whether to compile. Defaults to `True`.

    Returns:
        A callable `(*args) -> gradient`, structured and shaped like the argument; `None` in the
        place of integer arrays of a nested argument.

    Raises:
        TypeError: If `fn` is no function or `others` holds something else than variables.
        ValueError: If `argnum` is negative, or (at the call) out of range, or the argument holds no
            floating point array.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_reweight.gradients import make_input_gradient

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    saliency = make_input_gradient(lambda x: model(x)[:, 0], others=model.variables)
    gradient = saliency(np.ones((4, 3), "float32"))
    ```

    Reference:
        None; plumbing of the gradient functions.

    Cost:
        One forward and one backward pass.
    """
    check_integer("argnum", argnum, minimum=0)
    check_boolean("differentiable", differentiable)
    pure = PureFunction(fn, [], others)

    def traced(values, other_values, *args):
        flat = tree.flatten(args[argnum])
        places = [place for place, leaf in enumerate(flat) if is_float_tensor(leaf)]

        def objective(leaves):
            filled = list(flat)
            for place, leaf in zip(places, leaves, strict=True):
                filled[place] = leaf
            argument = tree.pack_sequence_as(args[argnum], filled)
            full = (*args[:argnum], argument, *args[argnum + 1 :])
            value, _ = pure(values, other_values, *full)
            return ops.sum(value), ()

        _, _, gradients = active_backend().value_and_grad(
            objective, [flat[place] for place in places], differentiable
        )
        return gradients

    built = BuiltFunction(pure, traced, jit=jit, differentiable=differentiable)

    def function(*args):
        if argnum >= len(args):
            raise ValueError(f"`argnum`={argnum}, but only {len(args)} arguments are given.")
        flat = tree.flatten(args[argnum])
        if not any(is_float_tensor(leaf) for leaf in flat):
            raise ValueError(
                "The argument to differentiate holds no floating point array, got "
                f"{[str(getattr(leaf, 'dtype', type(leaf).__name__)) for leaf in flat]}. Integer "
                "inputs such as token ids have no gradient: differentiate with respect to the "
                "embedded values, or cast pixel values to float."
            )
        gradients = iter(built(*args))
        return tree.pack_sequence_as(
            args[argnum], [next(gradients) if is_float_tensor(leaf) else None for leaf in flat]
        )

    return function
