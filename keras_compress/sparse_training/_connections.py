"""Which places of a sparse model hold a weight, at the beginning and after an update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_compress.pruning.allocations.allocation import Allocation
from keras_compress.pruning.context import PruningContext
from keras_compress.pruning.lowest_masks import lowest_masks
from keras_compress.sparse_training.evolution import Evolution


def random_masks(
    context: PruningContext, sparsity: float, allocation: Allocation, seed: int
) -> list[np.ndarray]:
    """Masks of `sparsity` at random places; the allocation says how many in each variable."""
    scores = [
        np.random.default_rng([seed, 0, i]).random(tuple(variable.shape))
        for i, variable in enumerate(context.variables)
    ]
    return lowest_masks(scores, allocation(scores, sparsity, context))


def rescale_kept(variables: Sequence[Any], masks: Sequence[np.ndarray]) -> None:
    """Multiply each variable by `sqrt(size / kept)`, which restores the variance of its outputs."""
    for variable, mask in zip(variables, masks, strict=True):
        factor = math.sqrt(mask.size / max(int(mask.sum()), 1))
        variable.assign(ops.convert_to_tensor(variable) * factor)


def evolve(
    evolution: Evolution,
    fraction: float,
    variables: Sequence[Any],
    masks: Sequence[np.ndarray],
    gradients: Sequence[np.ndarray | None],
    rngs: Sequence[np.random.Generator],
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Give new weights their values; returns the next masks and the places of new weights.

    Everything is computed, and refused if need be, before the first variable changes.
    """
    found = [
        evolved(evolution, fraction, host_value(variable), mask, gradient, rng)
        for variable, mask, gradient, rng in zip(variables, masks, gradients, rngs, strict=True)
    ]
    for variable, (_, new, value) in zip(variables, found, strict=True):
        value = ops.cast(ops.convert_to_tensor(value), variable.dtype)
        old = ops.convert_to_tensor(variable)
        variable.assign(ops.where(ops.convert_to_tensor(new), value, old))
    return [mask for mask, _, _ in found], [new for _, new, _ in found]


def evolved(
    evolution: Evolution,
    fraction: float,
    weight: np.ndarray,
    mask: np.ndarray,
    gradient: np.ndarray | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The next mask, the places of new weights (bool), and the values of all weights.

    As many connections grow as go. A dense variable has no other place for a weight and stays.
    """
    if gradient is not None and not np.isfinite(gradient).all():
        raise ValueError("The gradients are not finite: training has diverged.")
    if mask.all():
        return mask, np.zeros(mask.shape, "bool"), weight
    dropped = evolution.drop(weight, mask, fraction)
    grown = evolution.grow(dropped | ~mask, int(dropped.sum()), gradient, rng)
    new = grown & ~mask if evolution.keeps_regrown else grown
    values = evolution.std * rng.standard_normal(mask.shape).astype("float32")
    return (mask & ~dropped) | grown, new, np.where(new, values, weight)


def host_value(variable: Any) -> np.ndarray:
    """Float32 copy of the weights of a variable, which must be finite."""
    value = ops.convert_to_numpy(ops.cast(ops.convert_to_tensor(variable), "float32"))
    if not np.isfinite(value).all():
        raise ValueError(f"{variable.path!r} is not finite: training has diverged.")
    return np.array(value)
