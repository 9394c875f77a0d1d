"""Union-find over many atoms at once."""

from __future__ import annotations

import numpy as np


def component_labels(size: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """For each of `size` atoms the smallest atom it is connected to by the edges `left-right`.

    All roots are hooked to their smallest neighbor at once and all paths compressed at once, so
    the work is a few passes over the arrays whatever the number of edges.
    """
    label = np.arange(size)
    while True:
        a, b = label[left], label[right]
        apart = a != b
        if not apart.any():
            return label
        left, right, a, b = left[apart], right[apart], a[apart], b[apart]
        np.minimum.at(label, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(label, shorter := label[label]):
            label = shorter
