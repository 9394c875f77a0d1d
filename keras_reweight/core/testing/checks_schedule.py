"""Checks of schedules: callables from the step to a value, on the host and in a compiled step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.testing import checks_common
from keras_reweight.core.testing.backends import Compiled
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import assert_close, differ


def steps_of(row: Row) -> list[int]:
    """Steps before, during and after the change."""
    return row.inputs()["steps"] if row.inputs is not None else [0, 1, 3, 5, 8, 13, 100]


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then ask for a value."""
    row.make(**changes)(0)


def _values(made, steps):
    return np.array([made(step) for step in steps], "float64")


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """On the host a float, equal to the NumPy float64 formula for every step."""
    made, steps = row.make(), steps_of(row)
    for step in steps:
        assert isinstance(made(step), float), f"step {step} gives {made(step)!r}, not a float."
    expected = [row.expected({"step": step}) for step in steps]
    assert_close(_values(made, steps), expected, "values", relative=1e-12, of_largest=1e-12)
    return {"values": _values(made, steps)}


def check_compiled_equals_host(row: Row) -> None:
    """In a compiled step a float32 scalar tensor, equal to the host value, compiled once."""
    made = row.make()
    compiled = Compiled(lambda step: made(step))
    for step in steps_of(row):
        found = compiled(np.int32(step))
        assert ops.is_tensor(found), f"step {step} as a tensor gives {type(found).__name__}."
        dtype = keras.backend.standardize_dtype(found.dtype)
        assert tuple(found.shape) == () and dtype == "float32", (
            f"a tensor of shape {tuple(found.shape)} and dtype {dtype}, expected a float32 scalar."
        )
        assert_close(ops.convert_to_numpy(found), made(step), f"compiled value at step {step}")
    assert compiled.traces == 1, f"compiled {compiled.traces} times for a changing step."


def check_knob_changes_the_value(row: Row) -> None:
    """Other arguments give other values."""
    assert row.knob, "the catalog row has no `knob`."
    steps = steps_of(row)
    assert differ(_values(row.make(), steps), _values(row.make(**row.make_knob()), steps)), (
        f"{row.make_knob()} does not change the values."
    )


def check_equality_and_hash(row: Row) -> None:
    """Equal by value, so that configs with schedules compare."""
    assert row.make() == row.make() and hash(row.make()) == hash(row.make())
    assert row.make() != row.make(**row.make_knob()), f"equal in spite of {row.make_knob()}."


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    checks_common.check_construction_makes_no_variables,
    *checks_common.bad_argument_checks(use),
    check_value_equals_reference,
    check_compiled_equals_host,
    check_knob_changes_the_value,
    check_equality_and_hash,
)
