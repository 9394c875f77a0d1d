"""What a package offers: every class and function that `__all__` leads to."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from keras_reweight.core.testing.catalog import Row


def public_names(package: ModuleType) -> dict[str, Any]:
    """Dotted name -> class or function, over `__all__` of the package and its submodules.

    Raises:
        AssertionError: If a module has no sorted `__all__`, or `__all__` names what is not there.
    """
    root = package.__name__.partition(".")[0]
    found: dict[str, Any] = {}
    waiting, seen = [package], set()
    while waiting:
        module = waiting.pop()
        if module.__name__ in seen:
            continue
        seen.add(module.__name__)
        names = getattr(module, "__all__", None)
        assert names is not None, f"{module.__name__} has no `__all__`."
        assert list(names) == sorted(set(names)), f"`__all__` of {module.__name__} is not sorted."
        for name in names:
            assert hasattr(module, name), f"{module.__name__} has no {name!r}, but lists it."
            value = getattr(module, name)
            if isinstance(value, ModuleType):
                if value.__name__.partition(".")[0] == root:
                    waiting.append(value)
            elif inspect.isclass(value) or callable(value):
                found[f"{module.__name__}.{name}"] = value
    return found


def names_without_row(packages: Iterable[ModuleType], rows: Iterable[Row]) -> list[str]:
    """Dotted public names that no row of the catalog describes."""
    described = [row.target for row in rows if row.is_main]
    return sorted(
        name
        for package in packages
        for name, value in public_names(package).items()
        if not any(value is target for target in described)
    )


def rows_without_name(packages: Iterable[ModuleType], rows: Iterable[Row]) -> list[str]:
    """Rows whose target is not public."""
    offered = [value for package in packages for value in public_names(package).values()]
    return sorted(row.name for row in rows if not any(value is row.target for value in offered))
