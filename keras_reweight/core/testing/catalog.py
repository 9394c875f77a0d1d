"""One row a public method: what it is, how to make it, a small valid input, what is right."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_reweight.core.testing import docstrings

KINDS = (
    "base",
    "callback",
    "function",
    "layer",
    "loss",
    "object",
    "optimizer",
    "quantizer",
    "record",
    "schedule",
    "weighting",
)


@dataclass(frozen=True, eq=False)
class Row:
    """Catalog entry of one public class or function (or of one more configuration of it).

    Attributes:
        target: The public class or function.
        kind: One of `KINDS`; it decides which checks run.
        arguments: Constructor arguments (for a function: its options), a dict or a callable that
            makes a fresh one. Prefer values that are not the defaults.
        inputs: Callable that makes a small valid input: a dict of call arguments, for a callback a
            `tasks.Task`, for an optimizer the weights `start` and their `gradients`. `None` takes
            the default input of the kind. What a function does not take itself is for `outcome`
            and `reference`.
        reference: Independent NumPy float64 formula, as `"package.module:function"` or a callable.
            It gets those of the inputs and arguments that its signature names.
        reference_gradient: Like `reference`, for the gradient of `sum(cotangent * output)` with
            respect to the differentiated input. Without it, central differences of `reference`.
        gradient_of: Name of the differentiated input; `None` takes the default of the kind, `""`
            says that there is no gradient to check.
        bad_arguments: `(changes, exception, name)`: with these changes the exception is raised and
            its message contains the name of the argument and its value.
        knob: Change of the arguments (or inputs) after which the result must be another one, a
            dict or a callable that makes a fresh one; `None` for a callback that must not change
            the training.
        invariants: Names in `invariants.INVARIANTS`, beyond those the kind always has.
        schedulable: Arguments that take a schedule.
        signal: Weightings: the input that must change the weights, `"losses"` unless they are made
            from labels or predictions alone.
        with_memory: Losses: checked with the memory that `LossState` gives when a training begins,
            for losses that cannot do without.
        accepts_any: Arguments for which there is no wrong value (free text, paths).
        step_entry: Callbacks: the state entry that counts training steps, if there is one.
        outcome: Functions and objects: what to compare. Gets the result of the function or the
            constructed object, and those of the inputs that its signature names. `None` compares
            the result itself.
        mutates: Functions: changing the model or the arrays that are passed in is the purpose.
        jit: Functions: usable inside a compiled step.
        name: Defaults to the name of the target; further rows of one target need their own.
        family: Filled in from the file of the row.
    """

    target: Any
    kind: str
    arguments: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)
    inputs: Callable[[], Any] | None = None
    reference: str | Callable | None = None
    reference_gradient: str | Callable | None = None
    gradient_of: str | None = None
    bad_arguments: tuple[tuple[dict, type[Exception], str], ...] = ()
    knob: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = field(default_factory=dict)
    invariants: tuple[str, ...] = ()
    schedulable: tuple[str, ...] = ()
    signal: str = "losses"
    with_memory: bool = False
    accepts_any: tuple[str, ...] = ()
    step_entry: str | None = "step"
    outcome: Callable[..., Any] | None = None
    mutates: bool = False
    jit: bool = False
    name: str = ""
    family: str = ""

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"`kind` must be one of {KINDS}, got {self.kind!r}.")
        if not self.name:
            object.__setattr__(self, "name", self.target.__name__)

    def __repr__(self) -> str:
        return f"Row({self.name})"

    @property
    def is_main(self) -> bool:
        """Whether this is the row that stands for the public name."""
        return self.name == self.target.__name__

    @property
    def is_class(self) -> bool:
        return inspect.isclass(self.target)

    def make_arguments(self, **changes: Any) -> dict[str, Any]:
        """A fresh dict of arguments."""
        arguments = self.arguments() if callable(self.arguments) else self.arguments
        return {**arguments, **changes}

    def make_knob(self) -> dict[str, Any]:
        """A fresh dict of the changes of the knob."""
        return dict((self.knob() if callable(self.knob) else self.knob) or {})

    def make(self, **changes: Any) -> Any:
        """A fresh object of the class."""
        return self.target(**self.make_arguments(**changes))

    def expected(self, inputs: Mapping[str, Any], which: str = "reference", **extra: Any) -> Any:
        """What the reference gives for these inputs and the arguments of the row, in float64."""
        function = resolve(getattr(self, which))
        known = {**self.make_arguments(), **inputs, **extra}
        return call_with_known(function, {name: _as_float64(v) for name, v in known.items()})

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return docstrings.summary(self.target)

    @property
    def paper(self) -> str:
        """The `Reference` section in one line."""
        return " ".join(docstrings.sections(self.target).get("Reference", "").split())


def resolve(reference: str | Callable | None) -> Callable:
    """The function a dotted string `"package.module:function"` names."""
    if callable(reference):
        return reference
    if not reference:
        raise AssertionError("the catalog row names no `reference`.")
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def call_with_known(function: Callable, known: Mapping[str, Any]) -> Any:
    """Call `function` with those of the named values that its signature takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        return function(**known)
    names = {parameter.name for parameter in parameters}
    return function(**{name: value for name, value in known.items() if name in names})


def call_with_known_after(function: Callable, first: Any, known: Mapping[str, Any]) -> Any:
    """`call_with_known` for a function whose first argument is given."""
    return call_with_known(functools.partial(function, first), known)


def _as_float64(value):
    if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.floating):
        return value.astype("float64")
    if isinstance(value, (list, tuple)) and any(isinstance(item, np.ndarray) for item in value):
        return type(value)(_as_float64(item) for item in value)
    return value


def collect(rows_by_family: Mapping[str, list[Row]]) -> list[Row]:
    """All rows with their family filled in; two rows of one name are refused."""
    rows = [
        dataclasses.replace(row, family=family)
        for family, rows in sorted(rows_by_family.items())
        for row in rows
    ]
    names = [row.name for row in rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"Catalog rows need different names; given twice: {twice}.")
    return sorted(rows, key=lambda row: (row.family, row.name))
