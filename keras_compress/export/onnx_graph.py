"""The part of an ONNX graph that a rewriting needs, without the `onnx` package."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: What changes the layout of a constant and nothing else.
LAYOUT_OPS = frozenset({"Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(eq=False)
class Node:
    """One operation: names of tensors that go in and come out."""

    op_type: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    #: What the node was read from; `None` for a new one.
    source: Any = None


@dataclass(frozen=True, eq=False)
class Constant:
    """Values of a tensor, and its dtype by the name ONNX gives it, such as `"int4"`."""

    values: np.ndarray
    dtype: str


@dataclass(eq=False)
class Graph:
    """Operations in an order in which they can be computed, and constants by name."""

    nodes: list[Node]
    #: Float constants of the exported model.
    constants: dict[str, np.ndarray]
    #: Constants that a rewriting has made.
    added: dict[str, Constant] = field(default_factory=dict)
    #: Names of constants that nothing needs any more.
    removed: set[str] = field(default_factory=set)

    def consumers(self, name: str) -> list[tuple[Node, int]]:
        """Operations that take a tensor, and at which place."""
        return [
            (node, place)
            for node in self.nodes
            for place, one in enumerate(node.inputs)
            if one == name
        ]

    def add_constant(self, name: str, values: Any, dtype: str) -> str:
        """A new constant; the name it got."""
        name = self.new_name(name)
        self.added[name] = Constant(np.asarray(values), dtype)
        return name

    def new_name(self, name: str) -> str:
        """`name`, with a number if it is taken."""
        taken = {one for node in self.nodes for one in (*node.inputs, *node.outputs)}
        taken |= {*self.constants, *self.added}
        unused, number = name, 1
        while unused in taken:
            unused, number = f"{name}_{number}", number + 1
        return unused

    def replace_constant(self, name: str, nodes: list[Node]) -> None:
        """Let `nodes`, the last of which puts out `name`, compute what was a constant."""
        self.nodes[:0] = nodes
        self.removed.add(name)

    def insert_after(self, name: str, nodes: list[Node]) -> None:
        """Put `nodes` behind the one that puts out `name`, or in front of all for an input."""
        places = [index for index, node in enumerate(self.nodes) if name in node.outputs]
        place = places[0] + 1 if places else 0
        self.nodes[place:place] = nodes
