"""Which values of a tensor share one scale."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.quantizers.groups import Groups, array_module
from keras_reweight.core.validation import check_integer


@dataclass(frozen=True)
class Granularity:
    """The resolved form of `axis` and `group_size` for tensors of one shape.

    Attributes:
        kept: Axes that keep a scale of their own, ascending.
        reduced: The other axes.
        scale_shape: Shape of the scales: that of the tensor with ones for reduced axes, `()` for
            one scale, `(groups, outputs)` with groups.
        values_per_scale: How many values share a scale, an array of shape `(groups, 1)` where
            groups differ.
        groups: How the reduced axes are cut into groups, or `None`.
    """

    kept: tuple[int, ...]
    reduced: tuple[int, ...]
    scale_shape: tuple[int, ...]
    values_per_scale: Any
    groups: Groups | None = None

    @classmethod
    def of(
        cls,
        shape: tuple[int | None, ...],
        axis: int | tuple[int, ...] | None,
        group_size: int | None = None,
    ) -> Granularity:
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
        if group_size is not None:
            if None in shape:
                raise ValueError(
                    f"`group_size`={group_size!r} needs a tensor of known shape such as a weight, "
                    f"got shape {shape}."
                )
            groups = Groups.of(tuple(int(size or 0) for size in shape), kept, group_size)
            return cls(kept, reduced, groups.scale_shape, groups.values_per_scale, groups)
        sizes = [size for index in reduced if (size := shape[index]) is not None]
        scale_shape = tuple(
            int(size) if size is not None and index in kept else 1
            for index, size in enumerate(shape)
            if kept
        )
        return cls(kept, reduced, scale_shape, max(1, math.prod(sizes)))

    def reduce(self, function: Callable, x: Any) -> Any:
        """`function(x, axis=..., keepdims=...)` of the values that share a scale."""
        if self.groups is not None:
            return self.groups.reduce(function, x)
        return function(x, axis=self.reduced, keepdims=bool(self.scale_shape))

    def expand(self, scale: Any) -> Any:
        """Scales of `scale_shape` (or a single number) in a shape that broadcasts to the tensor."""
        if self.groups is None or len(np.shape(scale)) != 2:
            return scale
        return self.groups.expand(scale)

    def mean(self, x: Any) -> Any:
        """Mean over the values that share a scale."""
        return self.reduce(array_module(x).mean, x)

    def sum(self, x: Any) -> Any:
        """Sum over the values that share a scale."""
        return self.reduce(array_module(x).sum, x)

    def max(self, x: Any) -> Any:
        """Maximum of the values that share a scale."""
        return self.reduce(array_module(x).max, x)

    def min(self, x: Any) -> Any:
        """Minimum of the values that share a scale."""
        return self.reduce(array_module(x).min, x)


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
