"""From a `layers=` argument to positions in `model.weights`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.signatures.architecture import Architecture

BATCH_NORM = ("skip", "affine", "statistics")


@dataclass(frozen=True)
class WeightSelection:
    """Chosen positions in `model.weights`, ascending; statistics among them; what was left out."""

    indices: tuple[int, ...]
    statistics: frozenset[int]
    skipped: dict[str, str]


def select_weights(
    model: keras.Model, layers: Any, batch_norm: str, argument: str = "layers"
) -> WeightSelection:
    """Floating-point weights of the layers that `layers` names.

    A layer with sublayers, given by name or as an object, stands for all layers inside it; an
    object with `resolve(model)` (such as `shallow(3)`) for the layers it returns. Predicates and
    patterns see only the layers that own weights themselves.
    """
    owners = weight_owners(model)
    architecture = Architecture.of(model)
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    indices: set[int] = set()
    statistics: set[int] = set()

    def wanted(layer):
        chosen, moving = [], _moving_statistics(layer)
        for variable in own_weights(layer):
            is_moving = any(variable is other for other in moving)
            if architecture[position[id(variable)]].is_float and (
                not is_moving or batch_norm == "statistics"
            ):
                chosen.append((position[id(variable)], is_moving))
        return chosen

    def accept(layer):
        if batch_norm == "skip" and isinstance(layer, keras.layers.BatchNormalization):
            return "batch normalization, and batch_norm='skip'"
        return None if wanted(layer) else "no floating-point weights to change"

    selection = select_layers(
        model,
        _open_containers(model, layers, owners),
        accept=accept,
        candidates=owners,
        argument=argument,
    )
    for layer in selection.touched:
        for index, is_moving in wanted(layer):
            indices.add(index)
            if is_moving:
                statistics.add(index)
    return WeightSelection(tuple(sorted(indices)), frozenset(statistics), selection.skipped)


def weight_owners(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers that own weights themselves, in the order of `model.weights`.

    For functional and sequential models that is the topological order of the graph. A subclassed
    model has no graph; there it is the order in which its attributes were set.
    """
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    first = {
        id(layer): min(position[id(variable)] for variable in own_weights(layer))
        for layer in (model, *all_layers(model))
        if own_weights(layer)
    }
    owners = [layer for layer in (model, *all_layers(model)) if id(layer) in first]
    return sorted(owners, key=lambda layer: first[id(layer)])


def own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Weights of a layer that none of its sublayers has."""
    inner = {id(variable) for sublayer in all_layers(layer) for variable in sublayer.weights}
    return [variable for variable in layer.weights if id(variable) not in inner]


def _moving_statistics(layer):
    if not isinstance(layer, keras.layers.BatchNormalization):
        return []
    trained = [getattr(layer, "gamma", None), getattr(layer, "beta", None)]
    return [v for v in layer.weights if not any(v is other for other in trained)]


def _open_containers(model, layers, owners):
    """Replace what stands for several layers by those layers."""
    if layers is None:
        return None
    paths = layers_by_path(model)
    opened: list[Any] = []
    for item in list(layers) if isinstance(layers, (list, tuple, set, frozenset)) else [layers]:
        if hasattr(item, "resolve"):
            opened.extend(item.resolve(model))
            continue
        inside = [
            owner
            for path, container in paths.items()
            if container is item or (isinstance(item, str) and item in (container.name, path))
            for owner in all_layers(container)
            if any(owner is known for known in owners)
        ]
        opened.extend(inside)
        # A layer may own weights and hold layers as well. What names nothing is reported later.
        if not inside or any(owner is item or owner.name == item for owner in owners):
            opened.append(item)
    return opened
