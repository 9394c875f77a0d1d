"""From a function that reads Keras variables to a compiled function of their values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_reweight.core.gradients._backend import active_backend
from keras_reweight.core.gradients._scope import GradientScope, in_stateless_scope
from keras_reweight.core.validation import check_boolean


class PureFunction:
    """`fn(*args)` as `pure(values, other_values, *args) -> (result, updates)`.

    `variables` are the ones to differentiate, `others` the further ones `fn` reads. Variables that
    `fn` reads and nobody named are appended to `others` while tracing: baked into a compiled
    function they would keep their first value for ever.

    `updates` maps positions in `variables + others` to the values `fn` assigned.
    """

    def __init__(self, fn: Callable, variables: Sequence, others: Sequence = ()):
        if not callable(fn):
            raise TypeError(f"`fn` must be a function, got {fn!r} of type {type(fn).__name__}.")
        self.fn = fn
        self.variables = check_variables("variables", variables)
        chosen = {id(variable) for variable in self.variables}
        self.others = [v for v in check_variables("others", others) if id(v) not in chosen]
        self.on_read = None
        self.may_discover = False
        self._known = chosen | {id(variable) for variable in self.others}

    def __call__(self, values, other_values, *args):
        given = [*values, *other_values]
        # Discovered in an earlier pass of the same trace, some others may have no value here yet.
        mapping = list(zip([*self.variables, *self.others][: len(given)], given, strict=True))
        with GradientScope(mapping, on_read=self._notice) as scope:
            result = self.fn(*args)
        updates = {
            position: scope.state_mapping[id(variable)]
            for position, (variable, _) in enumerate(mapping)
            if scope.changed(variable)
        }
        return result, updates

    def _notice(self, variable, mapped):
        if self.on_read is not None:
            self.on_read(variable)
        if not mapped and self.may_discover and id(variable) not in self._known:
            self._known.add(id(variable))
            self.others.append(variable)


class BuiltFunction:
    """A transformed `PureFunction` that is built once and called many times.

    `traced(values, other_values, *args)` does the work. It runs compiled, except inside another
    trace (a train step, a graph), where it becomes part of that trace and its results are constants
    for an outer gradient unless `differentiable`.
    """

    def __init__(
        self,
        pure: PureFunction,
        traced: Callable,
        *,
        jit: bool = True,
        differentiable: bool = False,
    ):
        check_boolean("jit", jit)
        self.pure = pure
        self._traced = traced
        self._compiled = active_backend().compile_function(traced) if jit else None
        self._differentiable = differentiable

    def __call__(self, *args):
        backend = active_backend()
        args = to_tensors(args)
        with backend.isolate():
            if self._compiled is None or in_stateless_scope() or backend.runs_inline():
                return self._inline(backend, args)
            return self._call_compiled(backend, args)

    def _call_compiled(self, backend, args):
        pure = self.pure
        pure.may_discover = True
        while True:
            known = len(pure.others)
            values, other_values = backend.read(pure.variables), backend.read(pure.others)
            result = self._compiled(values, other_values, *args)
            if len(pure.others) == known:
                return result

    def _inline(self, backend, args):
        pure = self.pure
        pure.may_discover = False
        inputs = (backend.read(pure.variables), backend.read(pure.others), *args)
        if self._differentiable:
            return self._traced(*inputs)
        return stop_gradients(self._traced(*stop_gradients(inputs)))


def check_variables(name: str, variables: Sequence) -> list:
    """The variables as a list, each once."""
    if isinstance(variables, keras.Variable):
        raise TypeError(f"`{name}` must be a list of keras.Variable, got a single variable.")
    if not isinstance(variables, Iterable):
        raise TypeError(f"`{name}` must be a list of keras.Variable, got {variables!r}.")
    unique: dict[int, keras.Variable] = {}
    for variable in variables:
        if not isinstance(variable, keras.Variable):
            raise TypeError(
                f"`{name}` must hold keras.Variable objects, got {variable!r} of type "
                f"{type(variable).__name__}."
            )
        unique.setdefault(id(variable), variable)
    return list(unique.values())


def check_vector(vector: Any, variables: Sequence, argument: str = "vector") -> list:
    """The vector as tensors of the dtypes of `variables`, one per variable."""
    vector = list(vector) if isinstance(vector, (list, tuple)) else [vector]
    shapes = [tuple(variable.shape) for variable in variables]
    given = [tuple(part.shape) if hasattr(part, "shape") else np.shape(part) for part in vector]
    if given != shapes:
        raise ValueError(
            f"`{argument}` must be a list of arrays with the shapes of the variables {shapes}, got "
            f"shapes {given}."
        )
    return [
        ops.convert_to_tensor(part, dtype=variable.dtype)
        for part, variable in zip(vector, variables, strict=True)
    ]


def is_float_tensor(leaf: Any) -> bool:
    """Whether something is an array or tensor of floating point numbers."""
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(dtype)
    )


def to_tensors(structure: Any) -> Any:
    """NumPy arrays of a nested structure as tensors; everything else as it is."""
    return tree.map_structure(
        lambda leaf: ops.convert_to_tensor(leaf) if isinstance(leaf, np.ndarray) else leaf,
        structure,
    )


def stop_gradients(structure: Any) -> Any:
    """All tensors of a nested structure as constants."""
    return tree.map_structure(
        lambda leaf: ops.stop_gradient(leaf) if ops.is_tensor(leaf) else leaf, structure
    )


def split_tensors(structure: Any) -> tuple[list, Callable[[list], Any]]:
    """The leaves of a structure without the `None`s, and the way back from such leaves."""
    flat = tree.flatten(structure)
    places = [index for index, leaf in enumerate(flat) if leaf is not None]

    def rebuild(leaves):
        filled = list(flat)
        for index, leaf in zip(places, leaves, strict=True):
            filled[index] = leaf
        return tree.pack_sequence_as(structure, filled)

    return [flat[index] for index in places], rebuild


def require_scalar(value: Any, what: str) -> Any:
    """A tensor of one element as a scalar."""
    if not ops.is_tensor(value) or any(size != 1 for size in value.shape):
        shape = getattr(value, "shape", None)
        raise ValueError(f"{what} must return a scalar tensor, got {value!r} of shape {shape}.")
    return ops.reshape(value, ())


def pair_updates(pure: PureFunction, updates: dict) -> list[tuple[keras.Variable, Any]]:
    """`(variable, new value)` for the positions a `PureFunction` reported."""
    everything = pure.variables + pure.others
    return [(everything[position], value) for position, value in sorted(updates.items())]
