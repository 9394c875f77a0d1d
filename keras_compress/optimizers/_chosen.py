"""Which of its variables an optimizer puts on the grid."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import keras

_KEY, _FLAGS = "pattern", "flags"


def as_items(layers: Any) -> list[Any]:
    """A `layers` argument as a list; raises for what it cannot hold."""
    items = list(layers) if isinstance(layers, (list, tuple)) else [layers]
    for item in items:
        if not isinstance(item, (str, re.Pattern)) and not callable(item):
            raise TypeError(
                "`layers` takes layer names, re.Pattern, predicates `variable -> bool` or a list "
                f"of these, got {item!r} of type {type(item).__name__}."
            )
    return items


def chosen(variables: Sequence[keras.Variable], layers: Any) -> list[bool]:
    """For each variable whether it is put on the grid; raises if none is."""
    matrices = [_is_matrix(variable) for variable in variables]
    if layers is None:
        wanted = matrices
    else:
        wanted = [False] * len(variables)
        for item in as_items(layers):
            found = [
                is_matrix and _matches(variable, item)
                for variable, is_matrix in zip(variables, matrices, strict=True)
            ]
            if not any(found):
                paths = [variable.path for variable in variables if _is_matrix(variable)]
                raise ValueError(
                    f"`layers`: {item!r} matches no weight matrix. Paths to choose from: {paths}."
                )
            wanted = [one or other for one, other in zip(wanted, found, strict=True)]
    if not any(wanted):
        raise ValueError(
            f"`layers`={layers!r}: no variable has two or more dimensions and is no bias: "
            f"{[variable.path for variable in variables]}."
        )
    return wanted


def _is_matrix(variable):
    return len(variable.shape) >= 2 and not variable.name.endswith("bias")


def _matches(variable, item):
    layer = variable.path.rpartition("/")[0]
    if isinstance(item, str):
        return f"/{layer}/".endswith(f"/{item}/")
    if isinstance(item, re.Pattern):
        return item.search(layer) is not None
    return bool(item(variable))


def layers_config(layers: Any) -> Any:
    """What a config holds for `layers`; a pattern becomes a dict of its text and flags."""
    if isinstance(layers, re.Pattern):
        return {_KEY: layers.pattern, _FLAGS: layers.flags}
    if isinstance(layers, (list, tuple)):
        return [layers_config(item) for item in layers]
    if callable(layers):
        return keras.saving.serialize_keras_object(layers)
    return layers


def layers_from_config(config: Any, custom_objects: Any = None) -> Any:
    """The inverse of `layers_config`."""
    if isinstance(config, list):
        return [layers_from_config(item, custom_objects) for item in config]
    if isinstance(config, dict) and _KEY in config:
        return re.compile(config[_KEY], config[_FLAGS])
    if isinstance(config, dict):
        return keras.saving.deserialize_keras_object(config, custom_objects=custom_objects)
    return config
