"""What a weight takes in a packed file, by the size of groups."""

from __future__ import annotations

import numpy as np

from docs.curves._picture import Picture
from keras_compress.grids import AffineGrid, QuantizedMatrix

_SIZES = np.array([8, 16, 32, 64, 128, 256, 512, 1024])
_ROWS, _OUTPUTS = 1024, 64


def _bits():
    found = {}
    codes = np.zeros((_ROWS, _OUTPUTS), "uint8")
    for bits in (2, 3, 4, 8):
        taken = []
        for size in _SIZES:
            groups = np.ones((_ROWS // size, _OUTPUTS))
            grid = AffineGrid(bits, scale=groups, zero_point=groups, group_size=int(size))
            taken.append(QuantizedMatrix(codes, grid, codes.shape, (1,)).bits_per_weight)
        found[f"{bits} bits"] = (_SIZES.astype("float64"), np.array(taken))
    return found


PICTURES = {
    "bits": Picture("inputs that share a scale", "bits a weight, scales included", _bits),
}
