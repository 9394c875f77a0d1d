"""The share of channels that meets a budget of parameters, MACs or anything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import keras
import numpy as np

from keras_compress.analysis.count_macs import count_macs
from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.selection import layers_by_path

Keep = Mapping[str, np.ndarray]
Select = Callable[[float], Keep]

_ESTIMATED_STEPS = 30
_MEASURED_STEPS = 8
# An estimate that is off is corrected by what the smaller model really needs.
_CORRECTIONS = 5


def model_cost(model: keras.Model, cost: str | Callable) -> float:
    """What a model costs."""
    if callable(cost):
        return float(cost(model))
    return float(model.count_params() if cost == "parameters" else count_macs(model).macs)


def search(graph: ChannelGraph, select: Select, cost: str | Callable, target: float) -> Keep:
    """The largest selection that costs at most `target`.

    Args:
        graph: The graph of the model.
        select: Share of the channels to remove -> what is kept; more for less.
        cost: `"parameters"`, `"macs"`, or a function of a model.
        target: What it may cost.

    Raises:
        ValueError: If not even the smallest selection is cheap enough.
    """
    if cost == "parameters":
        return _bisect(select, _parameters(graph), target, _ESTIMATED_STEPS)
    if cost == "macs":
        return _search_macs(graph, select, target)

    def measured(keep):
        return model_cost(graph.rebuild(keep), cost)

    return _bisect(select, measured, target, _MEASURED_STEPS)


def _search_macs(graph, select, target):
    estimate, aim = _macs(graph), target
    for _ in range(_CORRECTIONS):
        keep = _bisect(select, estimate, aim, _ESTIMATED_STEPS)
        found = count_macs(graph.rebuild(keep)).macs
        if found <= target:
            return keep
        aim -= found - target
    raise ValueError(
        f"`budget`: {target:.6g} MACs are out of reach; the nearest model found needs {found}. "
        "Take a smaller `ratio`."
    )


def _bisect(select, cost, target, steps):
    low, high = 0.0, 1.0
    keep = select(high)
    least = cost(keep)
    if least > target:
        raise ValueError(
            f"`budget`: a cost of {target:.6g} cannot be reached; the smallest model that the "
            f"limits and the chosen layers allow costs {least:.6g}. Take a smaller `ratio`."
        )
    for _ in range(steps):
        middle = (low + high) / 2
        tried = select(middle)
        if cost(tried) <= target:
            high, keep = middle, tried
        else:
            low = middle
    return keep


def _kept_sizes(graph: ChannelGraph, keep: Keep) -> dict[int, int]:
    """`id(variable)` -> number of values that stay, for variables that lose some."""
    shapes: dict[str, list[int]] = {}
    for (key, axis), positions in graph.kept_positions(keep).items():
        shapes.setdefault(key, list(graph.variables[key].shape))[axis] = len(positions)
    return {id(graph.variables[key]): math.prod(shape) for key, shape in shapes.items()}


def _parameters(graph):
    total = graph.model.count_params()
    sizes = {id(variable): math.prod(variable.shape) for variable in graph.variables.values()}

    def cost(keep):
        kept = _kept_sizes(graph, keep) if keep else {}
        return total - sum(sizes[key] - size for key, size in kept.items())

    return cost


def _macs(graph):
    """MACs of a layer shrink as its matrices do, which is exact but for products in attention."""
    layers = layers_by_path(graph.model)
    rows = []
    for row in count_macs(graph.model).layers:
        sizes = _matrices(layers[row.path]) if row.path in layers else {}
        rows.append((row.macs, sizes))

    def cost(keep):
        kept = _kept_sizes(graph, keep) if keep else {}
        return sum(_shrunk(macs, sizes, kept) for macs, sizes in rows)

    return cost


def _shrunk(macs, sizes, kept):
    if not sizes:
        return macs
    return macs * sum(kept.get(key, size) for key, size in sizes.items()) / sum(sizes.values())


def _matrices(layer: keras.layers.Layer) -> dict[int, int]:
    return {
        id(variable): math.prod(variable.shape)
        for variable in layer.weights
        if len(variable.shape) >= 2 and variable.name != "bias"
    }
