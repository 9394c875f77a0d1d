"""From scores and counts to masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_compress.pruning.allocations.allocation import Allocation


def lowest_masks(scores: Sequence[np.ndarray], counts: Sequence[int]) -> list[np.ndarray]:
    """Masks without the `count` lowest scores of each array; of ties the lower index goes first."""
    return [_lowest_mask(score, count) for score, count in zip(scores, counts, strict=True)]


def next_masks(
    scores: Sequence[np.ndarray],
    allocation: Allocation,
    sparsity: float,
    current: Sequence[np.ndarray] | None = None,
) -> list[np.ndarray]:
    """Masks of `sparsity`; what `current` has dropped stays dropped unless the sparsity falls."""
    if current is not None:
        scores = [np.where(mask, s, -np.inf) for s, mask in zip(scores, current, strict=True)]
    return lowest_masks(scores, allocation(scores, sparsity))


def _lowest_mask(score, count):
    mask = np.ones(score.size, "bool")
    if count:
        flat = np.ravel(score)
        threshold = np.partition(flat, count - 1)[count - 1]
        mask[flat < threshold] = False
        ties = np.flatnonzero(flat == threshold)
        mask[ties[: count - int((~mask).sum())]] = False
    return mask.reshape(score.shape)
