"""Bugs of docstrings."""

from __future__ import annotations

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import (
    ToyWeighting,
)


def _docstring(old, new):
    def decorate(target):
        target.__doc__ = ToyWeighting.__doc__.replace(old, new)
        assert target.__doc__ != ToyWeighting.__doc__
        return target

    return decorate


@plant(toys.weighting, "docstring_sections")
class NoDocstring(ToyWeighting):
    pass


@plant(toys.weighting, "docstring_sections")
@_docstring("Reference:\n        None; a toy.", "")
class NoReference(ToyWeighting):
    pass


@plant(toys.weighting, "docstring_sections")
@_docstring("sharpness: Float", "other: Float")
class ArgumentNotDescribed(ToyWeighting):
    pass


@plant(toys.weighting, "docstring_sections")
@_docstring("Float > 0, what it does.", "Float tensor, what it does.")
class ArrayWithoutShape(ToyWeighting):
    pass


@plant(toys.weighting, "docstring_sections")
@_docstring("ValueError: If", "KeyError: If")
class RaisesSomethingElse(ToyWeighting):
    pass


@plant(toys.weighting, "docstring_example")
@_docstring("assert kr.__version__", "assert not kr.__version__")
class ExampleFails(ToyWeighting):
    pass
