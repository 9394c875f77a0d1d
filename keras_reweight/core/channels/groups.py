"""From atoms to groups of channels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.component_labels import component_labels
from keras_reweight.core.channels.trace import Trace
from keras_reweight.core.channels.weight_slice import WeightSlice


@dataclass(frozen=True, eq=False)
class Resolved:
    """Groups, and for each atom its group and channel (-1: it stays)."""

    groups: list[ChannelGroup]
    group_of: np.ndarray
    channel_of: np.ndarray
    frozen: dict[str, str]


def resolve(trace: Trace) -> Resolved:
    """Unite atoms to channels, channels with the same makers to groups."""
    edges = [np.concatenate(side) for side in zip(*trace.edges, strict=True)]
    empty = np.zeros(0, "int64")
    label = component_labels(trace.num_atoms, *(edges or (empty, empty)))
    reason_of = _frozen_labels(trace, label)
    producers = list(trace.producers.values())
    sizes = [producer.atoms.size for producer in producers]
    owner = np.repeat(np.arange(len(producers)), sizes)
    made = label[np.concatenate([empty, *(producer.atoms for producer in producers)])]
    frozen = dict(trace.refused)
    parts = np.split(reason_of[made], np.cumsum(sizes)[:-1]) if producers else []
    for producer, reasons in zip(producers, parts, strict=True):
        if (reasons >= 0).any():
            count = int((reasons >= 0).sum())
            what = "" if count == reasons.size else f"{count} of {reasons.size} channels: "
            reason = trace.freezes[int(reasons[reasons >= 0].min())][1]
            frozen.setdefault(producer.path, what + reason)
    free = reason_of[made] < 0
    makers = _makers(made[free], owner[free])
    group_of = np.full(trace.num_atoms, -1)
    channel_of = np.full(trace.num_atoms, -1)
    members = [(key, roots) for key, roots in makers.items() if len(roots) > 1]
    for number, (_, roots) in enumerate(members):
        group_of[roots] = number
        channel_of[roots] = np.arange(len(roots))
    group_of, channel_of = group_of[label], channel_of[label]
    slices = _slices(trace, group_of, channel_of, len(members))
    groups: list[ChannelGroup] = []
    names: set[str] = set()
    for (key, roots), pieces in zip(members, slices, strict=True):
        first = producers[key[0]]
        name = _unique_name(first.path, first.kind, names)
        paths = tuple(dict.fromkeys(producers[index].path for index in key))
        groups.append(ChannelGroup(name, len(roots), first.kind, paths, tuple(pieces)))
    return Resolved(groups, group_of, channel_of, frozen)


def _frozen_labels(trace, label):
    """For each label the first freeze that hit it, -1 for none."""
    reason_of = np.full(label.size, -1)
    for index in reversed(range(len(trace.freezes))):
        reason_of[label[trace.freezes[index][0]]] = index
    return reason_of


def _makers(made, owner):
    """Labels by the tuple of producers that make them, in the order in which they are made."""
    if not made.size:
        return {}
    roots, first = np.unique(made, return_index=True)
    position = np.empty(int(roots.max()) + 1, "int64")
    position[roots] = np.arange(roots.size)
    pairs = np.unique(np.stack([position[made], owner]), axis=1)
    starts = np.searchsorted(pairs[0], np.arange(roots.size + 1))
    makers: dict[tuple[int, ...], list[int]] = {}
    for index in np.argsort(first, kind="stable"):
        key = tuple(pairs[1, starts[index] : starts[index + 1]].tolist())
        makers.setdefault(key, []).append(int(roots[index]))
    return makers


def _slices(trace, group_of, channel_of, count):
    """Per group, the positions of all weights that belong to it."""
    slices: list[list[WeightSlice]] = [[] for _ in range(count)]
    for binding in trace.bindings.values():
        groups = group_of[binding.atoms]
        key = variable_key(binding)
        for group in np.unique(groups[groups >= 0]):
            (index,) = np.nonzero(groups == group)
            channel = channel_of[binding.atoms[index]]
            slices[group].append(
                WeightSlice(binding.layer, key, binding.axis, index, channel, binding.role)
            )
    return slices


def variable_key(binding) -> str:
    return f"{binding.layer}/{binding.variable.name}"


def _unique_name(path, kind, names):
    """The path of the first producer; heads, and further groups of one producer, say so."""
    base = f"{path}:heads" if kind == "heads" else path
    name, number = base, 1
    while name in names:
        number += 1
        name = f"{base}#{number}"
    names.add(name)
    return name
