"""Checks of public functions, on arrays or models."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

from keras_reweight.core.testing import checks_common
from keras_reweight.core.testing.backends import Compiled
from keras_reweight.core.testing.catalog import Row, call_with_known_after
from keras_reweight.core.testing.compare import (
    assert_all_close,
    assert_finite,
    differ,
    identical,
    snapshot,
    to_arrays,
)
from keras_reweight.core.testing.docstrings import documented_parameters
from keras_reweight.core.testing.gradient_check import assert_gradient
from keras_reweight.core.testing.invariants import check_invariants


def inputs_of(row: Row) -> dict[str, Any]:
    """A fresh input; a function without one has only options."""
    keras.utils.set_random_seed(0)
    return dict(row.inputs()) if row.inputs is not None else {}


def call(row: Row, inputs: dict[str, Any] | None = None, **changes: Any) -> Any:
    """The result of the function."""
    inputs = inputs_of(row) if inputs is None else inputs
    keras.utils.set_random_seed(0)
    names = {parameter.name for parameter in documented_parameters(row.target)}
    taken = {name: value for name, value in inputs.items() if name in names}
    found = row.target(**{**taken, **row.make_arguments(), **changes})
    return found if row.outcome is None else call_with_known_after(row.outcome, found, inputs)


def compute(row: Row, inputs: dict[str, Any]) -> np.ndarray:
    """The result of a function that returns one array."""
    (found,) = to_arrays(call(row, inputs)).values()
    return found


def use(row: Row, changes: dict[str, Any]) -> None:
    """Call with changed arguments; a refusal must leave the inputs as they were."""
    inputs = inputs_of(row)
    before = snapshot(inputs)
    try:
        call(row, inputs, **changes)
    except Exception:
        assert identical(before, inputs), f"{changes} is refused after the inputs were changed."
        raise


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """Equal to the NumPy float64 formula; required of every function that returns numbers."""
    result = call(row)
    found = to_arrays(result)
    if row.reference is None and (isinstance(result, keras.Model) or not found):
        return found
    keras.utils.set_random_seed(0)
    assert_all_close(found, row.expected(inputs_of(row)), "the result")
    return found


def check_gradient_equals_reference(row: Row) -> None:
    """Where the row names a differentiated input: the gradient is the one of the formula."""
    wanted = row.gradient_of
    if not wanted:
        return
    inputs = inputs_of(row)
    assert_gradient(row, lambda value: call(row, {**inputs, wanted: value}), inputs, wanted)


def check_compiled_equals_eager(row: Row) -> None:
    """Functions meant for a compiled step give the same result there, compiled once."""
    if not row.jit:
        return
    inputs = inputs_of(row)
    arrays = {name: value for name, value in inputs.items() if isinstance(value, np.ndarray)}
    rest = {name: value for name, value in inputs.items() if name not in arrays}
    options = {**rest, **row.make_arguments()}
    compiled = Compiled(
        lambda *values: row.target(**dict(zip(arrays, values, strict=True)), **options)
    )
    for _ in range(2):
        found = to_arrays(compiled(*arrays.values()))
        assert_all_close(found, call(row), "the compiled result")
    assert compiled.traces == 1, f"compiled {compiled.traces} times for one input."


def check_same_call_same_result(row: Row) -> None:
    """Deterministic, and the input is left alone unless changing it is the purpose."""
    inputs = inputs_of(row)
    before = snapshot(inputs)
    first = snapshot(call(row, inputs))
    if not row.mutates:
        assert identical(before, snapshot(inputs)), "the call changes its input."
    assert identical(first, snapshot(call(row))), "two calls give different results."
    assert_finite(first, "the result")


def check_knob_changes_the_result(row: Row) -> None:
    """Other options give another result."""
    if not row.make_arguments() and not row.knob:
        return
    assert row.knob, "the catalog row has no `knob`."
    first, inputs = inputs_of(row), inputs_of(row)
    base = snapshot({"result": call(row, first), "input": first})
    other = {"result": call(row, inputs, **row.make_knob()), "input": inputs}
    assert differ(base, snapshot(other)), f"{row.make_knob()} does not change the result."


def check_invariants_hold(row: Row) -> None:
    """The invariants the row names."""
    if row.invariants:
        check_invariants(row.invariants, functools.partial(compute, row), inputs_of(row))


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.bad_argument_checks(use),
    check_value_equals_reference,
    check_gradient_equals_reference,
    check_compiled_equals_eager,
    check_same_call_same_result,
    check_knob_changes_the_result,
    check_invariants_hold,
)
