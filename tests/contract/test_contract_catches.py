"""The contract sees what it is there for: toys pass, planted bugs are caught by the named check."""

from __future__ import annotations

import types

import keras
import pytest

from keras_reweight.core.testing import Row, checks_for, collect
from keras_reweight.core.testing.public_names import (
    names_without_row,
    public_names,
    rows_without_name,
)
from tests.contract import toy_rows, toys
from tests.contract.bugs import bugs

TOY_CASES = [
    pytest.param(check, id=f"{row.name}-{name}")
    for row in toy_rows.ROWS
    for name, check in checks_for(row)
]


@pytest.mark.parametrize("check", TOY_CASES)
def test_a_correct_toy_passes(check):
    check()


@pytest.mark.parametrize(
    ("row", "name", "crashes"),
    [pytest.param(row, name, crashes, id=f"{bug}-{name}") for bug, row, name, crashes in bugs()],
)
def test_a_planted_bug_is_caught(row, name, crashes):
    check = dict(checks_for(row))[name]
    if name == "steps_per_execution" and keras.backend.backend() == "torch":
        check()  # Keras itself refuses several steps in one execution there
        return
    with pytest.raises(AssertionError) as caught:
        check()
    cause = caught.value.__cause__
    by_its_result = cause is None or isinstance(cause, AssertionError)
    assert crashes or by_its_result, f"caught by accident: {caught.value}"


def test_every_kind_of_check_has_a_toy():
    kinds = {row.kind for row in toy_rows.ROWS}
    assert kinds == {
        "callback",
        "function",
        "layer",
        "loss",
        "object",
        "optimizer",
        "quantizer",
        "schedule",
        "weighting",
    }


def _package(names):
    package = types.ModuleType("toy_package")
    package.ToyWeighting = toys.ToyWeighting
    package.toy_norm = toys.toy_norm
    package.__all__ = names
    return package


def test_a_public_name_without_a_row_is_found():
    package = _package(["ToyWeighting", "toy_norm"])
    assert names_without_row([package], [toy_rows.weighting()]) == ["toy_package.toy_norm"]
    assert names_without_row([package], [toy_rows.weighting(), toy_rows.function()]) == []


def test_a_further_configuration_does_not_stand_for_the_name():
    package = _package(["ToyWeighting"])
    row = toy_rows.weighting(name="ToyWeighting_sharp")
    assert names_without_row([package], [row]) == ["toy_package.ToyWeighting"]


def test_a_row_that_is_not_public_is_found():
    assert rows_without_name([_package(["toy_norm"])], [toy_rows.weighting()]) == ["ToyWeighting"]


@pytest.mark.parametrize("names", [["toy_norm", "ToyWeighting"], ["missing"], None])
def test_a_bad_list_of_names_is_found(names):
    with pytest.raises(AssertionError, match="__all__|missing"):
        public_names(_package(names))


def test_a_missing_reference_or_knob_is_found():
    row = Row(toys.ToyWeighting, "weighting", arguments={"sharpness": 0.7})
    checks = dict(checks_for(row))
    for name in (
        "bad_arguments",
        "knob_and_data_change_the_weights",
        "value_equals_reference",
    ):
        with pytest.raises(AssertionError, match="names no|lists no|has no"):
            checks[name]()


def test_bad_rows_are_refused():
    with pytest.raises(ValueError, match="kind"):
        Row(toys.ToyWeighting, "magic")
    with pytest.raises(ValueError, match="ToyWeighting"):
        collect({"first": [toy_rows.weighting()], "second": [toy_rows.weighting()]})
