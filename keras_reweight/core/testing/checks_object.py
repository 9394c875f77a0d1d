"""Checks of other objects: parts that are put together (criteria, allocations), tables, patches."""

from __future__ import annotations

import copy
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from keras_reweight.core.testing import checks_common
from keras_reweight.core.testing.catalog import Row, call_with_known_after
from keras_reweight.core.testing.checks_function import inputs_of
from keras_reweight.core.testing.compare import (
    Arrays,
    assert_all_close,
    differ,
    identical,
    snapshot,
    to_arrays,
)


def outcome(row: Row, inputs: dict[str, Any] | None = None, **changes: Any) -> Arrays:
    """What the object does with the row's input, as named arrays."""
    inputs = inputs_of(row) if inputs is None else inputs
    keras.utils.set_random_seed(0)
    made = row.make(**changes)
    found = made if row.outcome is None else call_with_known_after(row.outcome, made, inputs)
    return to_arrays(found)


def use(row: Row, changes: dict[str, Any]) -> None:
    """Construct with changed arguments, then do what the row says."""
    outcome(row, **changes)


def check_value_equals_reference(row: Row) -> dict[str, np.ndarray]:
    """Equal to the NumPy float64 formula; required of every object that gives numbers."""
    found = outcome(row)
    if found or row.reference is not None:
        assert_all_close(found, row.expected(inputs_of(row)), "the result")
    return found


def check_knob_changes_the_result(row: Row) -> None:
    """Other arguments give another result; the same give the same, and leave the input alone."""
    if row.outcome is None:
        return
    inputs = inputs_of(row)
    before = snapshot(inputs)
    base = snapshot(outcome(row, inputs))
    assert row.mutates or identical(before, snapshot(inputs)), "the input is changed."
    assert identical(base, outcome(row)), "two calls give different results."
    if row.make_arguments():
        assert row.knob, "the catalog row has no `knob`."
        assert differ(base, outcome(row, **row.make_knob())), (
            f"{row.make_knob()} does not change the result."
        )


def check_copies(row: Row) -> None:
    """A deep copy holds the same numbers in arrays of its own."""
    made = row.make()
    twin = copy.deepcopy(made)
    assert identical(vars(twin), vars(made)), "a deep copy differs."


def check_saves_reproducibly(row: Row) -> None:
    """Saved, loaded and saved again gives the same file, byte for byte."""
    made = row.make()
    if not (hasattr(made, "save") and hasattr(row.target, "load")):
        return
    with tempfile.TemporaryDirectory() as directory:
        paths = [pathlib.Path(directory) / f"{name}.safetensors" for name in ("first", "second")]
        made.save(paths[0])
        row.target.load(paths[0]).save(paths[1])
        assert paths[0].read_bytes() == paths[1].read_bytes(), "loading and saving changes a file."


CHECKS = (
    *checks_common.DOCUMENTED,
    *checks_common.CONFIGURABLE,
    checks_common.check_construction_makes_no_variables,
    *checks_common.bad_argument_checks(use),
    check_value_equals_reference,
    check_knob_changes_the_result,
    check_copies,
    check_saves_reproducibly,
)
