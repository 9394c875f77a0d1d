"""What stored codes stand for."""

from __future__ import annotations

import keras_compress as kc
from keras_reweight.core.testing import Row

ROWS = [
    Row(kc.grids.AffineGrid, "record"),
    Row(kc.grids.LevelsGrid, "record"),
    Row(kc.grids.PowerGrid, "record"),
    Row(kc.grids.TableGrid, "record"),
    Row(kc.grids.QuantizedMatrix, "record"),
    Row(kc.quantization.ActivationRange, "record"),
    Row(kc.quantization.QuantizedModel, "record"),
]
