"""From the scales of a quantizer to those of a stored matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_compress.grids.matrix_layout import channel_positions, to_matrix
from keras_compress.quantizers.granularity import Granularity


@dataclass(frozen=True)
class StoredLayout:
    """How a tensor quantized with some granularity is laid out as `(rows, outputs)`.

    The channel axes are those of the layer where its scales fit such a matrix: one scale, scales
    that belong to outputs, or to inputs. Otherwise they are the axes that keep a scale.
    """

    shape: tuple[int, ...]
    channel_axes: tuple[int, ...]
    granularity: Granularity
    group_axis: int

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        granularity: Granularity,
        channel_axes: tuple[int, ...] | int | None,
    ) -> StoredLayout:
        channels = channel_positions(channel_axes, len(shape))
        kept, rows = set(granularity.kept), set(range(len(shape))) - set(channels)
        if granularity.groups is None:
            fits = kept <= set(channels) or kept == rows
        else:
            fits = kept == set(channels) or kept == rows
        if not fits:
            return cls(shape, granularity.kept, granularity, 0)
        of_inputs = granularity.groups is not None and kept != set(channels)
        return cls(shape, channels, granularity, int(of_inputs))

    @property
    def group_size(self) -> int | None:
        groups = self.granularity.groups
        return None if groups is None else groups.size

    def matrix(self, values: np.ndarray) -> np.ndarray:
        """Values of the shape of the tensor as `(rows, outputs)`."""
        return to_matrix(values, self.channel_axes)

    def scales(self, values: Any) -> np.ndarray:
        """Values of the shape of the scales as `AffineGrid` wants them."""
        values = np.asarray(values)
        if not values.ndim:
            return values
        if self.granularity.groups is not None:
            return values.T if self.group_axis else values
        of_outputs = set(self.granularity.kept) <= set(self.channel_axes)
        # Axes of the same side without a scale of their own repeat it.
        shape = [
            size if (axis in self.channel_axes) == of_outputs else 1
            for axis, size in enumerate(self.shape)
        ]
        return to_matrix(np.broadcast_to(values, shape), self.channel_axes)
