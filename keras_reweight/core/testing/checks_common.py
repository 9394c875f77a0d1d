"""Checks of every kind: docstring, construction, config, copies, bad arguments."""

from __future__ import annotations

import copy
import functools
import inspect
import json
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.testing import docstrings
from keras_reweight.core.testing.catalog import Row
from keras_reweight.core.testing.compare import differ, to_arrays

Check = Callable[[Row], Any]

# Keras turns these into something else (a policy, a generated name) and checks them itself.
_OF_KERAS = ("name", "dtype")
_NOT_COUNTED = (*_OF_KERAS, "reduction")
MOST_ARGUMENTS = 7


def check_docstring_sections(row: Row) -> None:
    """All five sections, arguments as in the signature, arrays with shape and dtype."""
    docstrings.check_sections(row.target)
    declared = docstrings.raised(docstrings.sections(row.target)["Raises"])
    for _, error, argument in row.bad_arguments:
        assert error.__name__ in declared, (
            f"`{argument}` can raise {error.__name__}, but `Raises` lists {sorted(declared)}."
        )


def check_docstring_example(row: Row) -> None:
    """The example runs."""
    docstrings.run_example(row.target)


def check_signature_style(row: Row) -> None:
    """Few arguments, at most two of them positional."""
    parameters = docstrings.documented_parameters(row.target)
    counted = [p.name for p in parameters if p.name not in _NOT_COUNTED]
    assert len(counted) <= MOST_ARGUMENTS, (
        f"{row.target.__name__} has {len(counted)} arguments {counted}, at most {MOST_ARGUMENTS}."
    )
    positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert len(positional) <= 2, (
        f"{row.target.__name__}: make all but the first arguments keyword-only, now {positional}."
    )


def parameters_of(row: Row) -> Iterator[tuple[str, Any]]:
    """Argument names of the target and the values the row constructs (or calls) it with."""
    given = row.make_arguments()
    if row.kind == "function" and row.inputs is not None:
        given = {**row.inputs(), **given}
    for parameter in docstrings.documented_parameters(row.target):
        if parameter.name in given:
            yield parameter.name, given[parameter.name]
        elif parameter.default is not inspect.Parameter.empty:
            yield parameter.name, parameter.default


def _held_by_keras(row):
    # An optimizer's rate becomes a variable; the kind has a check of its own for it.
    return (*_OF_KERAS, "learning_rate") if row.kind == "optimizer" else _OF_KERAS


def check_construction_only_stores_arguments(row: Row) -> None:
    """Every argument is an attribute with the very value that was passed."""
    arguments = row.make_arguments()
    made = row.target(**arguments)
    for name, default in parameters_of(row):
        if name in _held_by_keras(row):
            continue
        value = arguments.get(name, default)
        assert hasattr(made, name), f"argument `{name}` is not stored as an attribute."
        stored = getattr(made, name)
        assert stored is value or _same(stored, value), (
            f"argument `{name}`={value!r} is stored as {stored!r}; store it unchanged."
        )


def check_construction_makes_no_variables(row: Row) -> None:
    """No variables and no random generators before the first use."""
    kinds = (keras.Variable, keras.random.SeedGenerator)
    for name, value in vars(row.make()).items():
        leaves = keras.tree.flatten(value) if isinstance(value, (dict, list, tuple)) else [value]
        assert not any(isinstance(leaf, kinds) for leaf in leaves), (
            f"`__init__` makes a variable or generator, `{name}`; make it when training begins."
        )


def check_registered_for_saving(row: Row) -> None:
    """The class has a registered name, so that saved files find it."""
    name = keras.saving.get_registered_name(row.target)
    assert ">" in name and keras.saving.get_registered_object(name) is row.target, (
        f"{row.target.__name__} is not registered with `register_keras_serializable`."
    )


def check_config_is_complete(row: Row) -> None:
    """`get_config` holds every argument by value."""
    arguments = row.make_arguments()
    config = row.target(**arguments).get_config()
    for name, default in parameters_of(row):
        if name in _held_by_keras(row):
            continue
        assert name in config, f"`get_config` loses the argument `{name}`."
        value = arguments.get(name, default)
        expected = keras.saving.serialize_keras_object(value)
        found = keras.saving.serialize_keras_object(config[name])
        assert _plain(found) == _plain(expected) or _same(config[name], value), (
            f"`get_config` gives `{name}`={config[name]!r}, constructed with {value!r}."
        )


def check_config_round_trip(row: Row) -> None:
    """`from_config` and `keras.saving`, through JSON and in safe mode, give an equal object."""
    made = row.make()
    config = _plain(made.get_config())
    twin = row.target.from_config(made.get_config())
    assert type(twin) is type(made) and _plain(twin.get_config()) == config, (
        f"`from_config(get_config())` gives {_plain(twin.get_config())}, expected {config}."
    )
    assert _plain(made.get_config()) == config, "`from_config` changes the config it is given."
    loaded = saved_and_loaded(made)
    assert type(loaded) is type(made), f"loading gives a {type(loaded).__name__}."
    assert _plain(loaded.get_config()) == config, (
        f"saving and loading gives {_plain(loaded.get_config())}, expected {config}."
    )


def saved_and_loaded(made: Any) -> Any:
    """Through JSON text and `safe_mode=True`, as a `.keras` file stores it."""
    text = json.dumps(keras.saving.serialize_keras_object(made))
    return keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)


def check_deepcopy(row: Row) -> None:
    """A deep copy, as KerasTuner makes of callbacks, has the same config."""
    made = row.make()
    twin = copy.deepcopy(made)
    assert twin is not made and type(twin) is type(made)
    assert _plain(twin.get_config()) == _plain(made.get_config()), "a deep copy differs."


def check_knob_changes_config(row: Row) -> None:
    """The arguments of the knob arrive in the config."""
    if row.knob:
        assert _plain(row.make(**row.make_knob()).get_config()) != _plain(
            row.make().get_config()
        ), f"`get_config` is the same after {row.make_knob()}."


# Bad arguments -------------------------------------------------------------------------------


Use = Callable[[Row, dict[str, Any]], Any]


def bad_argument_checks(use: Use) -> tuple[Check, ...]:
    """The checks of wrong arguments, for a kind whose objects are used by `use(row, changes)`."""

    def check_bad_arguments(row: Row) -> None:
        """What the row lists is refused, with the name of the argument and its value."""
        names = [name for name, _ in parameters_of(row) if name not in _OF_KERAS]
        assert row.bad_arguments or set(names) <= set(row.accepts_any), (
            f"the catalog row lists no `bad_arguments` for {names}."
        )
        for changes, error, argument in row.bad_arguments:
            assert_refused(functools.partial(use, row, changes), error, argument, changes)

    def check_foreign_arguments(row: Row) -> None:
        """An object of a foreign type, an unknown text or NaN is refused for every argument."""
        problems = []
        for name, value in parameters_of(row):
            if name in _OF_KERAS or name in row.accepts_any:
                continue
            for wrong in _wrong_values(value):
                # The backend refuses what is no array; it does not know the argument's name.
                named = None if isinstance(value, np.ndarray) else name
                changes = {name: wrong}
                try:
                    assert_refused(
                        functools.partial(use, row, changes),
                        (TypeError, ValueError),
                        named,
                        changes,
                    )
                except AssertionError as problem:
                    problems.append(str(problem))
        assert not problems, "\n".join(problems)

    return check_bad_arguments, check_foreign_arguments


class Foreign:
    """An object no argument takes."""

    def __repr__(self) -> str:
        return "Foreign()"


def _wrong_values(value):
    yield Foreign()
    if isinstance(value, str):
        yield "no such choice"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield float("nan")


def assert_refused(
    action: Callable[[], Any], error: Any, argument: str | None, changes: dict
) -> None:
    """The action raises `error` with a message that names the argument and its value."""
    try:
        action()
    except error as raised:
        message = str(raised)
    except Exception as raised:
        raise AssertionError(
            f"{changes} raises {type(raised).__name__} ({raised}), expected {error}."
        ) from raised
    else:
        raise AssertionError(f"{changes} is accepted, expected {error} naming `{argument}`.")
    if argument is None:
        return
    assert argument in message, f"{changes}: the message {message!r} does not name `{argument}`."
    if argument in changes and not isinstance(changes[argument], Foreign):
        assert _mentions(message, changes[argument]), (
            f"{changes}: the message {message!r} does not give the value."
        )


def _mentions(message, value):
    if isinstance(value, (str, int, float, np.number)):
        return repr(value) in message or str(value) in message
    ways = [repr(value), type(value).__name__]
    if isinstance(value, (dict, list, tuple)) and not value:
        ways.append("empty")
    if isinstance(value, (list, tuple)):
        ways += [repr(item) for item in value]
    elif isinstance(value, dict):
        ways += [repr(item) for pair in value.items() for item in pair]
    elif isinstance(value, np.ndarray):
        ways += [str(value.shape), str(len(value)), str(value.dtype)]
        ways += [repr(item) for item in value.ravel()[:100].tolist()]
    return any(way in message for way in ways)


# Comparing -----------------------------------------------------------------------------------


def _plain(config):
    """A config in the form JSON gives it back."""
    return json.loads(json.dumps(keras.saving.serialize_keras_object(config)))


def _same(first, second):
    # Keras wraps the lists that layers hold in a subclass of list.
    first, second = (list(v) if isinstance(v, list) else v for v in (first, second))
    if type(first) is not type(second):
        return isinstance(first, (int, float)) and first == second
    if isinstance(first, np.ndarray) or ops.is_tensor(first):
        return not differ(first, second)
    try:
        return bool(first == second)
    except (TypeError, ValueError):
        return not differ(to_arrays(first), to_arrays(second))


#: For every public name.
DOCUMENTED: tuple[Check, ...] = (check_docstring_sections, check_docstring_example)

#: For every public class that is made from a config.
CONFIGURABLE: tuple[Check, ...] = (
    check_signature_style,
    check_construction_only_stores_arguments,
    check_registered_for_saving,
    check_config_is_complete,
    check_config_round_trip,
    check_deepcopy,
    check_knob_changes_config,
)
