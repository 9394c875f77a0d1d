"""Which layers a method touches: one argument, one order, one report for every method."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_reweight.core.validation import check_built


@dataclass
class Selection:
    """Layers chosen by a `layers=` argument, and why the others were left out."""

    touched: list[keras.layers.Layer] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def layers_by_path(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Every layer below `model` by its path: names from the outermost container inwards.

    Containers come before what they hold; a layer used in several places is listed where it is met
    first. Unlike `layer.path` this exists for layers without weights and never starts with the name
    of the model.
    """
    found: dict[str, keras.layers.Layer] = {}
    seen: set[int] = set()

    def walk(container, prefix):
        for layer in container._flatten_layers(include_self=False, recursive=False):
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            path, copy = prefix + layer.name, 1
            while path in found:
                path, copy = f"{prefix}{layer.name}#{copy}", copy + 1
            found[path] = layer
            walk(layer, path + "/")

    walk(model, "")
    return found


def leaf_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Layers that hold no other layers, nested models opened, shared layers once, no inputs."""
    return [
        layer
        for layer in layers_by_path(model).values()
        if not isinstance(layer, keras.layers.InputLayer)
        and not layer._flatten_layers(include_self=False)
    ]


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Every layer below `model`, containers included, each once, containers first."""
    return list(layers_by_path(model).values())


def select_layers(
    model: keras.Model,
    layers: Any = None,
    *,
    accept: Callable[[keras.layers.Layer], str | None] | None = None,
    candidates: Iterable[keras.layers.Layer] | None = None,
    argument: str = "layers",
) -> Selection:
    """Resolve a `layers=` argument.

    Args:
        model: A built `keras.Model`.
        layers: `None` (all candidates), a layer name or path, a compiled `re.Pattern` searched in
            the layer's path (`layers_by_path`), a predicate `layer -> bool`, a layer
            object, an object whose `resolve(model)` gives layers, or a list of these.
        accept: `layer -> None` where the method can treat the layer, else the reason why not.
        candidates: Layers to choose from. Defaults to all leaf layers of `model`.
        argument: Name of the argument, for error messages.

    Returns:
        A `Selection`; `touched` keeps the order of `candidates`.

    Raises:
        ValueError: For a name that no layer has, a layer that is not of this model, or an empty
            selection.
        TypeError: If `layers` is of a kind not listed above.
    """
    check_built(model, "select_layers")
    candidates = list(leaf_layers(model) if candidates is None else candidates)
    known = {id(layer): path for path, layer in layers_by_path(model).items()}
    paths = [known.get(id(layer), layer.name) for layer in candidates]
    chosen = _match(model, layers, dict(zip(paths, candidates, strict=True)), argument)
    selection = Selection()
    for path, layer in zip(paths, candidates, strict=True):
        reason = accept(layer) if accept is not None else None
        if id(layer) not in chosen:
            selection.skipped[path] = "not selected"
        elif reason is None:
            selection.touched.append(layer)
        else:
            selection.skipped[path] = reason
    if not selection.touched:
        raise ValueError(
            f"`{argument}`={layers!r} selects no layer of model {model.name!r} that can be "
            f"treated. Skipped: {selection.skipped}."
        )
    return selection


def _match(model, layers, candidates, argument):
    """Ids of the layers among `candidates` (path to layer) that `layers` names."""
    if layers is None:
        return {id(layer) for layer in candidates.values()}
    items = list(layers) if isinstance(layers, (list, tuple, set, frozenset)) else [layers]
    chosen = set()
    for item in items:
        if isinstance(item, str):
            found = [layer for path, layer in candidates.items() if item in (layer.name, path)]
            if not found:
                raise ValueError(
                    f"`{argument}`: no layer named {item!r} in model {model.name!r}. "
                    f"Layers to choose from: {list(candidates)}."
                )
        elif isinstance(item, re.Pattern):
            found = [layer for path, layer in candidates.items() if item.search(path)]
            if not found:
                raise ValueError(
                    f"`{argument}`: pattern {item.pattern!r} matches no layer path of model "
                    f"{model.name!r}. Paths to choose from: {list(candidates)}."
                )
        elif isinstance(item, keras.layers.Layer):
            found = [layer for layer in candidates.values() if layer is item]
            if not found:
                raise ValueError(
                    f"`{argument}`: layer {item.name!r} does not belong to model {model.name!r}."
                )
        elif callable(resolve := getattr(item, "resolve", None)):
            found = list(resolve(model))
        elif callable(item):
            found = [layer for layer in candidates.values() if item(layer)]
        else:
            raise TypeError(
                f"`{argument}` takes layer names, re.Pattern, layers, predicates or a list of "
                f"these, got {item!r} of type {type(item).__name__}."
            )
        chosen.update(id(layer) for layer in found)
    return chosen
