"""Which values of a tensor share one scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from keras_reweight.core.validation import check_integer


@dataclass(frozen=True)
class Granularity:
    """The resolved form of an `axis` argument for tensors of one shape."""

    reduced: tuple[int, ...]
    scale_shape: tuple[int, ...]
    values_per_scale: int

    @classmethod
    def of(cls, shape: tuple[int | None, ...], axis: int | tuple[int, ...] | None) -> Granularity:
        """Resolve `axis` (the axes that keep a scale each, `None` = one scale) for `shape`.

        Unknown dimensions may only be reduced; they are left out of `values_per_scale`.
        """
        shape = tuple(shape)
        kept = kept_axes(axis, len(shape))
        unknown = [index for index in kept if shape[index] is None]
        if unknown:
            raise ValueError(
                f"`axis`={axis!r} keeps dimension {unknown[0]} of shape {shape}, which is unknown. "
                "Keep known dimensions only, or use `axis=None` for one scale per tensor."
            )
        reduced = tuple(index for index in range(len(shape)) if index not in kept)
        sizes = [size for index in reduced if (size := shape[index]) is not None]
        scale_shape = tuple(
            int(size) if size is not None and index in kept else 1
            for index, size in enumerate(shape)
            if kept
        )
        return cls(reduced, scale_shape, max(1, math.prod(sizes)))


def kept_axes(axis: int | tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """`axis` as sorted non-negative integers, checked against `rank`."""
    if axis is None:
        return ()
    axes = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    if any(not -rank <= one < rank for one in axes):
        raise ValueError(f"`axis`={axis!r} is out of range for a tensor of rank {rank}.")
    resolved = tuple(sorted(one % rank for one in axes))
    if len(set(resolved)) != len(resolved):
        raise ValueError(f"`axis`={axis!r} names a dimension of a rank-{rank} tensor twice.")
    return resolved


def check_axis(axis: Any) -> None:
    """Raise unless `axis` is an integer, a non-empty tuple or list of integers, or `None`."""
    if axis is None:
        return
    if isinstance(axis, (tuple, list)):
        if not axis:
            raise ValueError("`axis` must not be empty; use `None` for one scale per tensor.")
        for one in axis:
            check_integer("axis", one)
        return
    check_integer("axis", axis)
