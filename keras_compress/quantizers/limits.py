"""Limits of a code range from cheap operations.

On the torch CPU backend `clip` takes eight times as long as a product.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def limited(x, low: float, high: float):
    """`x` between two numbers, as `ops.clip`."""
    # Bounds as arrays of this dtype: a Python number would become float32 first.
    kind = keras.backend.standardize_dtype(x.dtype)
    lowest, highest = np.asarray(low, kind), np.asarray(high, kind)
    if kind == "float64":  # of which `maximum` makes float32 on torch
        return ops.clip(x, lowest, highest)
    return ops.minimum(ops.maximum(x, lowest), highest)
