"""Gradients and values inside a train step of our own, at the weights or at others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._function import (
    PureFunction,
    check_vector,
    pair_updates,
    require_scalar,
    stop_gradients,
)


class StepFunction:
    """`fn(*args)` as part of a step that is being traced (or runs eagerly on torch).

    Unlike the public functions it is never compiled by itself, and it can be taken at values that
    the variables do not hold: at `theta'` of a look-ahead. All results are constants.

    Args:
        fn: Function of tensors or nested structures of tensors.
        variables: The variables to differentiate.
        others: Variables whose assignments by `fn` are to be returned as updates.
    """

    def __init__(
        self, fn: Callable, variables: Sequence[keras.Variable], others: Sequence = ()
    ) -> None:
        self._pure = PureFunction(fn, variables, others)

    def value(self, *args: Any, values: list | None = None) -> Any:
        """What `fn` returns, nothing written.

        Random layers draw the numbers that the next pass would draw, and will draw them again.
        """
        with active_backend().isolate(), active_backend().no_recording():
            values, others = self._inputs(values)
            return stop_gradients(self._pure(values, others, *args)[0])

    def value_and_grad(
        self, *args: Any, values: list | None = None, commits: bool = False
    ) -> tuple[Any, list, list]:
        """`(value, gradients, updates)` of a scalar `fn`; updates are for `commit_updates`.

        `commits` says that the pass counts, so that random numbers are used up on torch, too.
        """

        def objective(values):
            value, updates = self._pure(values, others, *args)
            return require_scalar(value, "`fn`"), updates

        backend = active_backend()
        with contextlib.nullcontext() if commits else backend.isolate():
            values, others = self._inputs(values)
            found = backend.value_and_grad(objective, values)
        value, updates, gradients = stop_gradients(found)
        return value, gradients, pair_updates(self._pure, updates)

    def values_and_grads(
        self,
        *args: Any,
        values: list | None = None,
        commits: bool = False,
        places: list[list[int]] | None = None,
    ) -> tuple[list, list, list]:
        """`(scalars, gradients, updates)` of an `fn` that returns a list of scalars.

        One forward pass; `gradients` holds one list a scalar, of the length of the variables, or
        for those of the variables that `places` lists for this scalar.
        """

        def objective(values):
            scalars, updates = self._pure(values, others, *args)
            return [require_scalar(scalar, "`fn`") for scalar in scalars], updates

        backend = active_backend()
        with contextlib.nullcontext() if commits else backend.isolate():
            values, others = self._inputs(values)
            found = backend.values_and_grads(objective, values, places)
        scalars, updates, gradients = stop_gradients(found)
        return scalars, gradients, pair_updates(self._pure, updates)

    def jvp(self, vector: list, *args: Any, values: list | None = None) -> Any:
        """Derivative of the tensor `fn` returns along `vector`, of the shape of that tensor."""
        backend = active_backend()
        with backend.isolate():
            values, others = self._inputs(values)
            vector = check_vector(vector, self._pure.variables)
            found = backend.jvp(lambda v: self._pure(v, others, *args)[0], values, vector)
        return stop_gradients(found[1])

    def _inputs(self, values):
        backend = active_backend()
        values = backend.read(self._pure.variables) if values is None else values
        return stop_gradients((values, backend.read(self._pure.others)))
