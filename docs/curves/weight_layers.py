"""Densities of weighted convolutions, and what companding makes of a free parameter."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture


def _densities():
    """Along the middle row of the kernel."""
    curves = {}
    for density in ((0.7,), (0.2, 0.8), (0.25, 0.15, 0.55)):
        size = 2 * len(density) + 1
        layer = kr.layers.WeightedConv2D(1, size, density=density)
        layer.build((None, size, size, 1))
        row = keras.ops.convert_to_numpy(layer.spatial_density())[len(density)]
        curves[f"density={density}"] = (np.arange(size) - len(density), row)
    return curves


def _companding():
    free = np.linspace(-3.0, 3.0, 121)
    curves = {}
    for amplitude, width in ((1.0, 1.0), (0.5, 0.25), (1.0, 0.25)):
        layer = kr.layers.CompandedDense(1, amplitude=amplitude, width=width)
        layer.build((None, len(free)))
        layer.kernel.assign(free[:, None])
        weights = keras.ops.convert_to_numpy(layer.effective_kernel())[:, 0]
        curves[f"amplitude={amplitude}, width={width}"] = (free, weights)
    return curves


PICTURES = {
    "density": Picture("offset from the middle", "factor of the kernel", _densities),
    "companding": Picture("free parameter", "weight", _companding),
}
