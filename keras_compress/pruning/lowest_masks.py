"""From scores and counts to masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext


def lowest_masks(
    scores: Sequence[np.ndarray], counts: Sequence[int | np.ndarray]
) -> list[np.ndarray]:
    """Masks without the `count` lowest scores of each array; of ties the lower index goes first.

    A count that is an array holds one number for each index of the last axis.
    """
    return [
        _lowest_columns(score, count) if np.ndim(count) else _lowest_mask(score, int(count))
        for score, count in zip(scores, counts, strict=True)
    ]


def next_masks(
    scores: Sequence[np.ndarray],
    allocation: Allocation,
    target: float | Sequence[int | np.ndarray],
    current: Sequence[np.ndarray] | None = None,
    context: PruningContext | None = None,
) -> list[np.ndarray]:
    """Masks of a sparsity; what `current` has dropped stays dropped unless the sparsity falls.

    The target is a total sparsity, or the counts of the variables (see `SparsityRule`).
    """
    if current is not None:
        scores = [np.where(mask, s, -np.inf) for s, mask in zip(scores, current, strict=True)]
    if context is not None:
        scores = context.units(scores)
    counts: Sequence[int | np.ndarray]
    if isinstance(target, Sequence):
        counts = target
        _check_room(scores, counts)
    else:
        counts = allocation(scores, float(target), context)
    masks = lowest_masks(scores, counts)
    return masks if context is None else context.expand(masks)


def _check_room(scores, counts):
    """Counts of a rule know nothing of the pattern, which may hold units back or tie them."""
    for position, (score, count) in enumerate(zip(scores, counts, strict=True)):
        axes = None if not np.ndim(count) else tuple(range(score.ndim - 1))
        room = np.sum(~np.isposinf(score), axis=axes)
        if np.shape(room) != np.shape(count) or np.any(np.asarray(count) > room):
            raise ValueError(
                f"`sparsity`: the rule asks for {np.max(count)} units of variable {position}, of "
                f"which the pattern can give {np.min(room)}. Use single weights, or a rule that "
                "gives the total sparsity."
            )


def _lowest_mask(score, count):
    mask = np.ones(score.size, "bool")
    if count:
        flat = np.ravel(score)
        threshold = np.partition(flat, count - 1)[count - 1]
        mask[flat < threshold] = False
        ties = np.flatnonzero(flat == threshold)
        mask[ties[: count - int((~mask).sum())]] = False
    return mask.reshape(score.shape)


def _lowest_columns(score, counts):
    columns = score.reshape(-1, score.shape[-1])
    order = np.argsort(columns, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(len(columns))[:, None], axis=0)
    return (ranks >= np.asarray(counts)).reshape(score.shape)
