"""Public docstrings: parsed, compared with the signature, and their example run."""

from __future__ import annotations

import inspect
import pathlib
import re
import runpy
import tempfile
import textwrap
from collections.abc import Callable
from typing import Any

MANDATORY = ("Args", "Returns", "Raises", "Example", "Reference")
OPTIONAL = ("Deviations", "Cost")

_HEADING = re.compile(r"^([A-Z][a-z]+):\s*$")
_ENTRY = re.compile(r"^(\*{0,2}\w+)(?: \([^)]*\))?: ?(.*)$")
_ERROR_ENTRY = re.compile(r"^(\w+): ?(.*)$")
_FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# "one scale per tensor" at the end of a description speaks of something else.
_ARRAY = re.compile(r"\b(tensor|array)s? of shape\b|^[^,.;:]*\b(tensor|array)s?\b", re.IGNORECASE)
_DTYPE = re.compile(
    r"\b(float\w*|int\w*|integer|bool\w*|uint\w*|bfloat16|complex\w*|dtype|numeric)\b",
    re.IGNORECASE,
)
_SHAPE = re.compile(r"\bshapes?\b|\bshaped\b|\bscalar\b|\bbroadcastable\b", re.IGNORECASE)


def summary(target: Any) -> str:
    """The first line of a docstring, without its full stop."""
    return (inspect.getdoc(target) or "").strip().split("\n")[0].rstrip(".")


def sections(target: Any) -> dict[str, str]:
    """Section name -> dedented text; the part before the first section is `""`."""
    text = inspect.cleandoc(target.__doc__ or "")
    found: dict[str, list[str]] = {"": []}
    name, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = None if fenced else _HEADING.match(line)
        if heading and heading.group(1) in MANDATORY + OPTIONAL:
            name = heading.group(1)
            if name in found:
                raise AssertionError(f"docstring of {target.__name__}: two `{name}:` sections.")
            found[name] = []
        else:
            found[name].append(line)
    return {key: textwrap.dedent("\n".join(lines)).strip() for key, lines in found.items()}


def entries(text: str, pattern: re.Pattern = _ENTRY) -> dict[str, str]:
    """`name: description` items of a section; continuation lines are indented."""
    items: dict[str, str] = {}
    current = None
    for line in text.splitlines():
        match = pattern.match(line)
        if match:
            current = match.group(1).lstrip("*")
            items[current] = match.group(2)
        elif current is not None:
            items[current] += " " + line.strip()
    return items


def raised(text: str) -> set[str]:
    """Exception names of a `Raises` section."""
    return set(entries(text, _ERROR_ENTRY))


def documented_parameters(target: Callable) -> list[inspect.Parameter]:
    """The parameters a user may pass, `self` and catch-all arguments left out."""
    if inspect.isclass(target) and target.__init__ is object.__init__:
        return []
    parameters = inspect.signature(target).parameters.values()
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind not in catch_all]


def check_sections(target: Callable) -> None:
    """Raise `AssertionError` unless the docstring is complete and fits the signature."""
    name = target.__name__
    # `__doc__` and not `inspect.getdoc`: a docstring inherited from a base explains the base.
    assert target.__doc__, f"{name} has no docstring of its own."
    found = sections(target)
    missing = [section for section in MANDATORY if not found.get(section)]
    assert not missing, f"docstring of {name} lacks the sections {missing}."
    order = [section for section in found if section]
    wanted = [section for section in MANDATORY + OPTIONAL if section in found]
    assert order == wanted, f"docstring of {name}: sections are {order}, the order is {wanted}."
    first = found[""].split("\n")[0]
    assert first.endswith("."), f"docstring of {name}: the first line {first!r} is no sentence."
    assert "\n\n" in found[""], f"docstring of {name} does not say when to use it."
    if inspect.isclass(target):
        init_doc = vars(target).get("__init__")
        assert not (init_doc and init_doc.__doc__), f"{name}: document the class, not `__init__`."
    _check_arguments(name, target, found["Args"])
    assert raised(found["Raises"]) or found["Raises"].lower().startswith(("none", "nothing")), (
        f"docstring of {name}: `Raises` names no exception (write `None.` if there is none)."
    )
    assert _FENCE.search(found["Example"] + "\n"), (
        f"docstring of {name}: `Example` has no ```python block."
    )
    assert len(found["Reference"]) >= 5, f"docstring of {name}: `Reference` is empty."


def _check_arguments(name, target, text):
    described = entries(text)
    parameters = documented_parameters(target)
    expected = [parameter.name for parameter in parameters]
    if not expected:
        return
    missing = [argument for argument in expected if argument not in described]
    assert not missing, f"docstring of {name}: `Args` does not describe {missing}."
    accepts_more = any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD
        for parameter in inspect.signature(target).parameters.values()
    )
    unknown = [argument for argument in described if argument not in expected]
    assert accepts_more or not unknown, (
        f"docstring of {name}: `Args` describes {unknown}, which the signature does not have."
    )
    for argument, description in described.items():
        assert description.strip(), f"docstring of {name}: `{argument}` has no description."
        if _ARRAY.search(description):
            assert _SHAPE.search(description) and _DTYPE.search(description), (
                f"docstring of {name}: array argument `{argument}` needs its shape and dtype, "
                f"got {description.strip()!r}."
            )


def example(target: Callable) -> str:
    """The code of the `Example` section."""
    blocks = _FENCE.findall(sections(target).get("Example", "") + "\n")
    assert blocks, f"docstring of {target.__name__}: `Example` has no ```python block."
    return "\n".join(blocks)


def run_example(target: Callable) -> None:
    """Run the `Example` as a program of its own; its error becomes an `AssertionError`."""
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory) / f"example_of_{target.__name__}.py"
        path.write_text(example(target), encoding="utf-8")
        try:
            runpy.run_path(str(path))
        except Exception as error:
            raise AssertionError(
                f"the example of {target.__name__} fails: {type(error).__name__}: {error}"
            ) from error
