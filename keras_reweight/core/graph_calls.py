"""The calls a Functional or Sequential model is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class GraphCall:
    """One call of a layer or operation: its arguments, and the symbolic tensors in and out."""

    operation: Any
    args: tuple
    kwargs: dict[str, Any]
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def graph_calls(model: keras.Model) -> list[GraphCall]:
    """The calls of `model`, every one after those whose outputs it takes.

    Models inside are one call each time they are called; `graph_calls` of them gives theirs.
    """
    functional = model._functional if isinstance(model, keras.Sequential) else model
    depths = functional._nodes_by_depth
    place = {id(operation): index for index, operation in enumerate(functional.operations)}
    return [
        GraphCall(
            node.operation,
            tuple(node.arguments.args),
            dict(node.arguments.kwargs),
            tuple(node.input_tensors),
            tuple(node.output_tensors),
        )
        for depth in sorted(depths, reverse=True)
        for node in sorted(depths[depth], key=lambda node: place[id(node.operation)])
    ]


def bare_operation(operation: Any) -> str | None:
    """The class name of an operation of `keras.ops`, such as `"Add"`; `None` for all else."""
    kind = type(operation)
    return kind.__name__ if kind.__module__.startswith("keras.src.ops.") else None


def application_layer(operation: Any) -> str | None:
    """The class name of a layer that `keras.applications` defines for itself; else `None`.

    By names: importing those modules only to know the classes is not worth its time.
    """
    kind = type(operation)
    return kind.__name__ if kind.__module__.startswith("keras.src.applications.") else None
