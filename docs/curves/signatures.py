"""What is lost by storing a change of weights in fewer bytes."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture

_ROWS, _COLUMNS = 144, 64


def _changes():
    """Kernels whose change has few directions, or few large numbers."""
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(_ROWS, 24)), rng.normal(size=(24, _COLUMNS))
    directions = (left * 0.6 ** np.arange(24)) @ right
    return {
        "few directions": directions + 0.1 * rng.normal(size=directions.shape),
        "few large numbers": rng.standard_t(1.8, size=(_ROWS, _COLUMNS)),
    }


def _stored():
    model = keras.Sequential([keras.Input((_ROWS,)), keras.layers.Dense(_COLUMNS, use_bias=False)])
    curves = {}
    for kind, change in _changes().items():
        patch = kr.Patch.from_deltas(model, [(model.weights[0], change)], name="change")
        options = {
            "low_rank_int8": [{"rank": rank} for rank in (1, 2, 3, 4, 6, 8, 12, 16, 24)],
            "sparse_int8": [{"density": share} for share in np.geomspace(0.01, 0.35, 9)],
        }
        for codec, choices in options.items():
            sizes, errors = [], []
            for choice in choices:
                small = patch.compress(codec, **choice)
                sizes.append(small.nbytes / change.size)
                errors.append(np.linalg.norm(small.delta(0) - change) / np.linalg.norm(change))
            curves[f"{codec}, {kind}"] = (np.array(sizes), np.array(errors))
    return curves


PICTURES = {"codecs": Picture("bytes a number (int8: 1, float32: 4)", "relative error", _stored)}
