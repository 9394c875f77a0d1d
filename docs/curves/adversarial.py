"""What a sample counts by the steps an attack needs."""

from __future__ import annotations

import numpy as np
from keras import ops

from docs.curves._picture import Picture
from keras_reweight import adversarial


def _steps():
    counts = np.arange(11)
    curves = {}
    for kind in ("tanh", "sigmoid", "discrete"):
        weighting = adversarial.GeometryAware(10, kind=kind)
        curves[kind] = (counts, ops.convert_to_numpy(weighting(counts.astype("float32"))))
    return curves


PICTURES = {"steps": Picture("steps before which the sample was right", "weight", _steps)}
