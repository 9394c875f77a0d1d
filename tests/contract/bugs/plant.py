"""The list of bugs."""

from __future__ import annotations

BUGS = []


def plant(make_row, check, crashes=False, **row_changes):
    """Register a class or function as a bug that `check` has to find.

    `crashes` says that the bug shows as an error of the backend or of Python, not as a result.
    """

    def decorate(target):
        BUGS.append((target.__name__, make_row(target, **row_changes), check, crashes))
        return target

    return decorate
