"""From scores of single weights to one number a channel: members, reductions, normalizers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_compress.structured.channel_graph import ChannelGraph
from keras_reweight.core.channels.channel_group import ChannelGroup
from keras_reweight.core.channels.weight_slice import WeightSlice
from keras_reweight.core.validation import check_choice

REDUCTIONS = ("mean", "sum", "max", "prod", "first")
NORMALIZERS = ("mean", "sum", "max", "min-max", "gaussian", "median", "lamp", "none")
#: Scores per position along the axis, and the channel of each position.
Member = tuple[np.ndarray, np.ndarray]

_BIASES = ("bias", "beta")
#: What is neither a weight nor a bias: statistics, and slopes of activations.
_NO_WEIGHTS = ("alpha", "mean", "moving_mean", "moving_variance", "variance")
_TINY = 1e-8


def counted_slices(
    graph: ChannelGraph, group: ChannelGroup, *, bias: bool = False
) -> list[WeightSlice]:
    """The slices of a group that count: kernels, embeddings, scales and, if wanted, biases."""
    left_out = _NO_WEIGHTS if bias else (*_BIASES, *_NO_WEIGHTS)
    return [piece for piece in group.slices if graph.variables[piece.variable].name not in left_out]


def rows_of(values: np.ndarray, piece: WeightSlice) -> np.ndarray:
    """The values of a variable at the positions of a slice, `(positions, values of each)`."""
    rows = np.take(values, piece.index, axis=piece.axis)
    return np.moveaxis(rows, piece.axis, 0).reshape(len(piece.index), -1)


def reduce_members(members: Sequence[Member], size: int, reduction: str) -> np.ndarray:
    """One number a channel from what each member says of its positions.

    A member may hold several positions of a channel, such as the gates of a recurrent layer or the
    places behind `Flatten`, or none. The mean is over all members of the group, also over those
    that know nothing of a channel.
    """
    check_choice("reduction", reduction, REDUCTIONS)
    if reduction == "first":
        members = members[:1]
    if reduction == "max":
        result = np.full(size, -np.inf)
        for scores, channel in members:
            np.maximum.at(result, channel, scores)
        return np.where(np.isfinite(result), result, 0.0)
    if reduction == "prod":
        result = np.ones(size)
        for scores, channel in members:
            np.multiply.at(result, channel, scores)
        return result
    result = np.zeros(size)
    for scores, channel in members:
        np.add.at(result, channel, scores)
    return result / len(members) if reduction == "mean" else result


def normalize(scores: np.ndarray, normalizer: str) -> np.ndarray:
    """Scores of one group in a scale in which groups can be compared."""
    check_choice("normalizer", normalizer, NORMALIZERS)
    if normalizer == "none":
        return scores
    if normalizer == "lamp":
        return _lamp(scores)
    if normalizer == "min-max":
        lowest, highest = scores.min(), scores.max()
        return (scores - lowest) / (highest - lowest + _TINY)
    if normalizer == "gaussian":
        spread = scores.std(ddof=1) if scores.size > 1 else 0.0
        return (scores - scores.mean()) / (spread + _TINY)
    divisor = {
        "mean": scores.mean(),
        "sum": scores.sum(),
        "max": scores.max(),
        "median": np.sort(scores)[scores.size // 2],
    }[normalizer]
    # All-zero groups stay zero: they are what should go first.
    return scores / divisor if divisor > 0.0 else scores


def _lamp(scores):
    """Each score over the sum of those that are not smaller."""
    order = np.argsort(scores, kind="stable")
    remaining = np.cumsum(scores[order][::-1])[::-1]
    result = np.zeros_like(scores)
    result[order] = np.divide(
        scores[order], remaining, out=np.zeros_like(scores), where=remaining > 0.0
    )
    return result


def check_members(group: ChannelGroup, members: Sequence[Any]) -> None:
    """Raise unless there is something to go by."""
    if not members:
        raise ValueError(
            f"Group {group.name!r} has no weights to go by, only "
            f"{sorted({piece.variable for piece in group.slices})}. Leave it out with `layers`."
        )
