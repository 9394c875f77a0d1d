"""The contract: every check of every catalog row, on the backend that runs."""

from __future__ import annotations

import keras
import pytest

from keras_reweight.core.testing import checks_for
from tests.contract.catalog import rows
from tests.contract.exceptions import EXCEPTIONS
from tests.parity_record import record


def cases():
    """One test a row and check; expected failures are strict."""
    found = []
    for row in rows():
        for name, check in checks_for(row):
            reason = EXCEPTIONS.get((row.name, name))
            if isinstance(reason, dict):
                reason = reason.get(keras.backend.backend())
            marks = ()
            if reason:
                marks = pytest.mark.xfail(reason=reason, strict=True, raises=AssertionError)
            key = f"{row.name}-{name}"
            found.append(pytest.param(key, check, id=key, marks=marks))
    return found


@pytest.mark.parametrize(("key", "check"), cases())
def test_contract(key, check):
    for name, array in (check() or {}).items():
        record(f"contract/{key}/{name}", array)


def test_exceptions_name_rows_and_checks():
    known = {(row.name, name) for row in rows() for name, _ in checks_for(row)}
    unknown = sorted(set(EXCEPTIONS) - known)
    assert not unknown, f"the table of exceptions names what is not there: {unknown}"
