"""Round to nearest, the plainest quantization, as the yardstick of scores."""

from __future__ import annotations

import numpy as np

from keras_compress.grids.matrix_layout import to_kernel, to_matrix
from keras_compress.post_training.affine_ranges import affine_range


def rounded(kernel: np.ndarray, bits: int, channel_axes: tuple[int, ...] | None) -> np.ndarray:
    """The nearest values on an even grid from the smallest to the largest weight of each channel.

    The grid includes zero, and has one scale for all if `channel_axes` is `None`.
    """
    matrix = to_matrix(np.asarray(kernel, "float64"), channel_axes)
    return to_kernel(affine_range(matrix, bits).nearest(matrix), kernel.shape, channel_axes)
