"""What the rules write down while the channels are followed through a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_reweight.core.graph_calls import GraphCall

Kept = Callable[[np.ndarray], int]


@dataclass(frozen=True, eq=False)
class Tracked:
    """A symbolic tensor and its channels: position `i` along `axis` is the channel `atoms[i]`.

    `axis=None` says that nothing in the tensor can go: every axis stays as it is.
    """

    shape: tuple
    axis: int | None = None
    atoms: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0, "int64"))

    @property
    def last(self) -> int:
        return len(self.shape) - 1


@dataclass(frozen=True, eq=False)
class Binding:
    """The atoms of the positions along one axis of a weight."""

    layer: str
    variable: Any
    axis: int
    atoms: np.ndarray
    role: str


@dataclass(frozen=True, eq=False)
class Producer:
    """The atoms a layer makes."""

    path: str
    kind: str
    atoms: np.ndarray


@dataclass(frozen=True, eq=False)
class Pass:
    """The channels that go into a call of the graph, models opened, and those that come out."""

    call: GraphCall
    inputs: Sequence[Tracked]
    outputs: Sequence[Tracked]


class Trace:
    """Atoms, what unites and freezes them, and where they are found in weights and configs.

    Atom 0 stands for every position that never goes.
    """

    def __init__(self, paths: dict[int, str]):
        self.paths = paths
        self.num_atoms = 1
        self.edges: list[tuple[np.ndarray, np.ndarray]] = []
        self.freezes: list[tuple[np.ndarray, str]] = []
        self.refused: dict[str, str] = {}
        self.bindings: dict[tuple[int, int], Binding] = {}
        self.producers: dict[tuple[str, str], Producer] = {}
        self.edits: dict[int, dict[tuple, Callable[[Kept], Any]]] = {}
        self.across: dict[int, Tracked] = {}
        self.seen: dict[Any, Tracked] = {}
        self.opaque: list[keras.layers.Layer] = []
        self.passes: list[Pass] = []

    def new(self, count: int) -> np.ndarray:
        atoms = np.arange(self.num_atoms, self.num_atoms + count)
        self.num_atoms += count
        return atoms

    def freeze(self, atoms: np.ndarray, reason: str) -> None:
        """Keep these channels, and all that are united with them."""
        atoms = np.ravel(atoms)
        atoms = atoms[atoms > 0]
        if atoms.size:
            self.freezes.append((atoms, reason))

    def union(self, left: np.ndarray, right: np.ndarray, reason: str) -> None:
        """Channels that go together, position by position."""
        if left is right:
            return
        self.freeze(left[right == 0], reason)
        self.freeze(right[left == 0], reason)
        both = (left > 0) & (right > 0) & (left != right)
        if both.any():
            self.edges.append((left[both], right[both]))

    def along(self, tensor: Tracked, axis: int, reason: str) -> np.ndarray:
        """The atoms of `tensor` along `axis`; those of another axis are frozen."""
        if tensor.axis == axis:
            return tensor.atoms
        self.freeze(tensor.atoms, reason)
        return np.zeros(tensor.shape[axis] or 0, "int64")

    def same(self, key: Any, tensor: Tracked, reason: str) -> Tracked:
        """`tensor`, united with the tensor that came under the same key before."""
        before = self.seen.setdefault(key, tensor)
        if before is tensor:
            return tensor
        if before.axis == tensor.axis and before.atoms.size == tensor.atoms.size:
            self.union(before.atoms, tensor.atoms, reason)
            return dataclasses.replace(tensor, atoms=before.atoms)
        self.freeze(before.atoms, reason)
        self.freeze(tensor.atoms, reason)
        return Tracked(tensor.shape)

    def bind(self, layer, variable, axis: int, atoms: np.ndarray, role: str) -> None:
        """Positions along `axis` of a weight of `layer` belong to `atoms`."""
        if variable is None:
            return
        axis = axis % len(variable.shape)
        path = self.paths[id(layer)]
        if variable.shape[axis] != atoms.size:
            raise AssertionError(
                f"{path}: {atoms.size} channels for axis {axis} of a weight of shape "
                f"{tuple(variable.shape)}."
            )
        new = Binding(path, variable, axis, atoms, role)
        before = self.bindings.setdefault((id(variable), axis), new)
        if before is not new:
            self.union(before.atoms, atoms, f"{path} is shared")

    def produce(self, path: str, kind: str, count: int) -> np.ndarray:
        """New atoms that the layer makes, the same ones at each of its calls."""
        if (path, kind) not in self.producers:
            self.producers[path, kind] = Producer(path, kind, self.new(count))
        return self.producers[path, kind].atoms

    def edit(self, operation, key: str | tuple[str, ...], value: Callable[[Kept], Any]) -> None:
        """The entry (with a tuple: the nested entry) of the config of `operation` after pruning."""
        key = (key,) if isinstance(key, str) else key
        self.edits.setdefault(id(operation), {}).setdefault(key, value)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or operation, as a rule sees it."""

    trace: Trace
    operation: Any
    path: str
    inputs: Sequence[Tracked]
    output_shapes: Sequence[tuple]
    args: tuple = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    tracked: Callable[[Any], Tracked | None] = lambda tensor: None

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """An argument of the call as it was given."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)

    def outputs(self, axis: int | None, atoms: np.ndarray | None = None) -> list[Tracked]:
        """All outputs with these channels; without an axis nothing in them can go."""
        if axis is None or atoms is None:
            return [Tracked(shape) for shape in self.output_shapes]
        return [Tracked(shape, axis % len(shape), atoms) for shape in self.output_shapes]

    def refuse(self, reason: str, inputs: Sequence[Tracked] | None = None) -> list[Tracked]:
        """Freeze what goes in and comes out, and say why."""
        inputs = self.inputs if inputs is None else inputs
        self.trace.refused.setdefault(self.path, reason)
        if isinstance(self.operation, keras.layers.Layer):
            self.trace.opaque.append(self.operation)
        for tensor in inputs:
            self.freeze(tensor.atoms, reason)
        return self.outputs(None)

    def freeze(self, atoms: np.ndarray, reason: str) -> None:
        self.trace.freeze(atoms, f"{self.path}: {reason}")

    def union(self, left: np.ndarray, right: np.ndarray) -> None:
        self.trace.union(left, right, f"{self.path}: coupled with channels that stay")

    def along(self, tensor: Tracked, axis: int) -> np.ndarray:
        return self.trace.along(
            tensor, axis % len(tensor.shape), f"{self.path}: works along another axis"
        )

    def same(self, name: str, tensor: Tracked) -> Tracked:
        return self.trace.same((id(self.operation), name), tensor, f"{self.path}: is shared")

    def bind(self, variable, axis: int, atoms: np.ndarray, role: str, holder=None) -> None:
        holder = self.operation if holder is None else holder
        self.trace.bind(holder, variable, axis, atoms, role)

    def produce(self, kind: str, count: int) -> np.ndarray:
        return self.trace.produce(self.path, kind, count)

    def edit(self, key: str | tuple[str, ...], value: Callable[[Kept], Any]) -> None:
        self.trace.edit(self.operation, key, value)


def is_quantized(layer: keras.layers.Layer) -> str | None:
    """Why a layer whose kernel is not an ordinary one is left alone."""
    if getattr(layer, "quantization_mode", None) is not None:
        return f"is quantized ({layer.quantization_mode})"
    if getattr(layer, "lora_enabled", False):
        return "has LoRA weights; merge them first"
    return None
