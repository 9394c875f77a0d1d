"""The groups that a `layers=` argument names, where it may also name none."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers

KINDS = ("channels", "heads", "units")


def chosen_groups(
    graph: ChannelGraph, layers: Any = None, *, kinds: Collection[str] = KINDS
) -> list[ChannelGroup]:
    """The groups whose makers are all among `layers`; `None` takes the inner widths of a model.

    Inner widths are the groups of the given kinds that a single layer makes. Channels that several
    layers add up to (a residual stream) are read by all that follows; they have to be named.

    Raises:
        ValueError: If nothing is left, or a layer is unknown.
    """
    if layers is not None:
        return groups_made_by(graph, layers)
    found = [g for g in graph.groups if len(g.producers) == 1 and g.kind in kinds]
    if not found:
        raise ValueError(
            f"`layers`=None: no group of channels of model {graph.model.name!r} is made by one "
            f"layer alone. Layers to choose from: {_makers(graph)}."
        )
    return found


def groups_made_by(graph: ChannelGraph, layers: Any) -> list[ChannelGroup]:
    """The groups of which every layer that makes the channels is among `layers`.

    Raises:
        ValueError: If there is none, or a layer is unknown.
    """
    touched = select_layers(graph.model, layers, candidates=all_layers(graph.model)).touched
    chosen = {id(layer) for layer in touched}
    paths = {path for path, layer in layers_by_path(graph.model).items() if id(layer) in chosen}
    found = [group for group in graph.groups if set(group.producers) <= paths]
    if not found:
        near = [str(group) for group in graph.groups if set(group.producers) & paths]
        raise ValueError(
            f"`layers`={layers!r}: no group of channels of model {graph.model.name!r} is made by "
            "these layers alone. "
            + (f"Coupled with others: {near}. " if near else "")
            + f"Layers to choose from: {_makers(graph)}."
        )
    return found


def _makers(graph):
    return sorted({path for group in graph.groups for path in group.producers})


def channel_cost(graph: ChannelGraph, group: ChannelGroup) -> float:
    """Number of parameters that go with one channel of the group."""
    total = 0.0
    for piece in group.slices:
        shape = list(graph.variables[piece.variable].shape)
        shape[piece.axis] = len(piece.index)
        total += math.prod(shape)
    return total / group.size
