"""Which channels go: scopes, ratios and limits, on scores that are there already."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.validation import check_number

SCOPES = ("local", "global", "isomorphic")
# 10 * (1 - 0.9) is a little less than one.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Limits:
    """What must stay of every group, and of what its size must be a multiple."""

    max_ratio: float = 1.0
    min_channels: int = 1
    round_to: int = 1

    def floor(self, size: int, original: int) -> int:
        """The least number of channels of a group that had `original` and has `size`."""
        share = math.ceil(original * (1.0 - self.max_ratio) - _ROUNDING)
        return min(size, max(self.min_channels, share))

    def rounded(self, kept: int, size: int, original: int) -> int:
        """`kept`, down to a multiple, but not below the floor and at least one multiple."""
        if kept == size:
            return size
        least = max(1, self.floor(size, original))
        kept -= kept % self.round_to
        if kept < least:
            kept = math.ceil(least / self.round_to) * self.round_to
        return min(kept, size)


def select_channels(
    groups: Sequence[ChannelGroup],
    scores: Mapping[str, np.ndarray],
    pools: Mapping[Any, tuple[float, Sequence[str]]],
    limits: Limits,
    originals: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """What to keep: the channels of a pool compete, the lowest scores go, equal ones in order.

    Args:
        groups: The groups.
        scores: Group name -> scores of shape `(size,)`.
        pools: Anything -> the share to remove, and the names of the groups that compete.
        limits: What must stay. Where it protects channels, others of the pool go instead.
        originals: Sizes of the groups before the first step, for `limits`; `None` for the present.

    Returns:
        Dict from group name to a bool array, for the groups in pools.
    """
    sizes = {group.name: group.size for group in groups}
    originals = sizes if originals is None else originals
    keep = {}
    for ratio, names in pools.values():
        floors = [limits.floor(sizes[name], originals[name]) for name in names]
        removed = _removed_of_pool([scores[name] for name in names], floors, ratio)
        for name, count in zip(names, removed, strict=True):
            kept = limits.rounded(sizes[name] - count, sizes[name], originals[name])
            keep[name] = np.ones(sizes[name], bool)
            keep[name][np.argsort(scores[name], kind="stable")[: sizes[name] - kept]] = False
    return keep


def _removed_of_pool(scores, floors, ratio):
    """How many channels each member of a pool loses."""
    total = sum(len(each) for each in scores)
    wanted = total - math.floor(total * (1.0 - ratio) + _ROUNDING)
    may_go = [
        np.sort(each)[: len(each) - floor] for each, floor in zip(scores, floors, strict=True)
    ]
    owners = np.repeat(np.arange(len(scores)), [len(each) for each in may_go])
    order = np.argsort(np.concatenate(may_go), kind="stable")[:wanted]
    return np.bincount(owners[order], minlength=len(scores)).tolist()


def make_pools(
    graph: ChannelGraph,
    groups: Sequence[ChannelGroup],
    ratios: Mapping[str, tuple[Any, float]],
    scope: str,
) -> dict[Any, tuple[float, list[str]]]:
    """Who competes with whom. Heads, which are worth many channels, only compete with heads."""
    pools: dict[Any, tuple[float, list[str]]] = {}
    for group in groups:
        if group.name not in ratios:
            continue
        key, ratio = ratios[group.name]
        pool: Any = group.name
        if scope == "global":
            pool = key, group.kind == "heads"
        elif scope == "isomorphic":
            pool = key, _structure(graph, group)
        pools.setdefault(pool, (ratio, []))[1].append(group.name)
    return pools


def _structure(graph, group):
    """Equal for groups that are built alike, whatever their size."""
    return group.kind, tuple(
        sorted((graph.variables[piece.variable].name, piece.role) for piece in group.slices)
    )


def resolve_ratios(ratio: Any, groups: Sequence[ChannelGroup]) -> dict[str, tuple[Any, float]]:
    """Group name -> what it was named by, and its ratio; groups that nobody named are left out.

    A mapping takes layer names or paths, glob patterns and `re.Pattern` of the layers that make
    the channels. Names come before patterns, the first pattern that matches before later ones. Of
    several names for one group the smallest ratio counts.
    """
    if not isinstance(ratio, Mapping):
        check_ratio("ratio", ratio)
        return {group.name: (None, float(ratio)) for group in groups}
    if not ratio:
        raise ValueError("`ratio` is an empty mapping: it names no layer.")
    for key, value in ratio.items():
        check_ratio(f"ratio[{key!r}]", value)
        if not any(_names(key, group) for group in groups):
            raise ValueError(
                f"`ratio`: {key!r} names no layer whose channels can be chosen. Layers: "
                f"{sorted({name for group in groups for name in group.producers})}."
            )
    found = {}
    for group in groups:
        exact = [key for key in ratio if _is_name(key) and _names(key, group)]
        patterns = [key for key in ratio if not _is_name(key) and _names(key, group)]
        if exact or patterns:
            key = min(exact, key=ratio.__getitem__) if exact else patterns[0]
            found[group.name] = (key, float(ratio[key]))
    return found


def check_ratio(name: str, value: Any) -> None:
    """Raise unless `value` is a share in `[0, 1)`."""
    check_number(name, value, minimum=0.0, exclusive_maximum=1.0)


def _is_name(key):
    return isinstance(key, str) and not any(sign in key for sign in "*?[")


def _names(key, group):
    return any(_matcher(key)(path) for path in group.producers)


def _matcher(key) -> Callable[[str], bool]:
    if isinstance(key, re.Pattern):
        return lambda path: key.search(path) is not None
    if not isinstance(key, str):
        raise TypeError(
            "`ratio` as a mapping takes layer names, glob patterns or re.Pattern as keys, got "
            f"{key!r} of type {type(key).__name__}."
        )
    if _is_name(key):
        return lambda path: key in (path, path.rpartition("/")[2])
    return lambda path: any(
        fnmatch.fnmatchcase(each, key) for each in (path, path.rpartition("/")[2])
    )


def check_scores(scores: Any, groups: Sequence[ChannelGroup], importance: Any) -> None:
    """Raise unless an importance gave every group its scores."""
    for group in groups:
        given = group.name in scores
        found = np.asarray(scores[group.name] if given else ())
        if not given or found.shape != (group.size,):
            raise ValueError(
                f"`importance`={importance!r} must give group {group.name!r} scores of shape "
                f"({group.size},), got {found.shape if given else 'none'}."
            )
        if np.isnan(found).any():
            raise ValueError(f"`importance`={importance!r} gives NaN for group {group.name!r}.")
