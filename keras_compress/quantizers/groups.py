"""Scales for groups of consecutive inputs inside each output."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops


def array_module(x: Any) -> Any:
    """NumPy for its arrays, `keras.ops` for tensors. What runs once runs on the host: JAX would
    compile every operation of a search for every shape.
    """
    return np if isinstance(x, (np.ndarray, np.generic)) else ops


@dataclass(frozen=True)
class Groups:
    """Groups of `size` rows of a tensor laid out as `(rows, outputs)`; the last may be shorter.

    Rows are the axes that are not kept, in their order, outputs the kept ones.
    """

    shape: tuple[int, ...]
    order: tuple[int, ...]
    rows: int
    outputs: int
    size: int

    @classmethod
    def of(cls, shape: tuple[int, ...], kept: tuple[int, ...], size: int) -> Groups:
        others = tuple(index for index in range(len(shape)) if index not in kept)
        rows = math.prod(shape[index] for index in others)
        outputs = math.prod(shape[index] for index in kept)
        return cls(shape, (*others, *kept), rows, outputs, min(size, max(rows, 1)))

    @property
    def scale_shape(self) -> tuple[int, int]:
        return -(-self.rows // self.size), self.outputs

    @property
    def values_per_scale(self) -> int | np.ndarray:
        """Rows of a group; of each group, shape `(groups, 1)`, where the last is shorter."""
        count, rest = divmod(self.rows, self.size)
        if not rest:
            return self.size
        return np.array([self.size] * count + [rest])[:, None]

    def reduce(self, function: Callable, x: Any) -> Any:
        """`function(values, axis=..., keepdims=...)` of each group: shape `scale_shape`."""
        module = array_module(x)
        matrix = module.reshape(module.transpose(x, self.order), (self.rows, self.outputs))
        whole = self.rows // self.size * self.size
        parts = []
        if whole:
            stacked = module.reshape(matrix[:whole], (-1, self.size, self.outputs))
            parts.append(function(stacked, axis=(1,), keepdims=False))
        if whole < self.rows:
            parts.append(function(matrix[whole:], axis=(0,), keepdims=True))
        return parts[0] if len(parts) == 1 else module.concatenate(parts, axis=0)

    def expand(self, scale: Any) -> Any:
        """The scale of every value, in the shape of the tensor."""
        module = array_module(scale)
        repeated = module.repeat(scale, self.size, axis=0)[: self.rows]
        in_order = module.reshape(repeated, [self.shape[index] for index in self.order])
        return module.transpose(in_order, np.argsort(self.order).tolist())
