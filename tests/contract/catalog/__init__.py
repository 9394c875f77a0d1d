"""The catalog: one row a public method, one file a family.

A file of this package is a family; its `ROWS` are collected here, so a new row or a new file needs
no other edit.
"""

from __future__ import annotations

import importlib
import pkgutil

from keras_reweight.core.testing import Row, collect


def rows() -> list[Row]:
    """All rows of all families, in a stable order."""
    families = {
        module.name: importlib.import_module(f"{__name__}.{module.name}").ROWS
        for module in pkgutil.iter_modules(__path__)
    }
    return collect(families)
