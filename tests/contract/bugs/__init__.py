"""Bugs planted in the toy methods, each with the check that has to see it."""

from __future__ import annotations

import importlib
import pkgutil

from tests.contract.bugs.plant import BUGS


def bugs():
    """All of them: `(name, row, check, crashes)`."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return list(BUGS)
