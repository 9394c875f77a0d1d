"""What an arc does to the length of weights, and how far a stock of models goes back."""

from __future__ import annotations

import keras
import numpy as np

from docs.curves._picture import Picture
from keras_reweight import WeightSnapshot, merging

_WAY = np.linspace(0.0, 1.0, 41)
_COSINES = np.linspace(0.0, 1.0, 41)


def _vectors(*vectors):
    """A model whose only weight is the first vector, and snapshots of it with the others."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((len(vectors[0]),)), dense])
    model.set_weights([np.asarray(vectors[0], "float32")[:, None]])
    snapshots = []
    for vector in vectors[1:]:
        snapshots.append(WeightSnapshot(model))
        snapshots[-1].arrays = (np.asarray(vector, "float32")[:, None],)
    return model, snapshots


def _arc():
    curves = {}
    for degrees in (30, 80):
        angle = np.deg2rad(degrees)
        start = np.array([1.0, 0.0])
        model, (other,) = _vectors(start, [np.cos(angle), np.sin(angle)])
        for name, merge in (
            ("slerp", lambda t, m=model, o=other: merging.slerp(m, o, t=t)),
            ("wise_ft", lambda t, m=model, o=other: merging.wise_ft(m, o, alpha=t)),
        ):
            lengths = [np.linalg.norm(start[:, None] + merge(float(t)).delta(0)) for t in _WAY]
            curves[f"{name}, {degrees} degrees"] = (_WAY, np.array(lengths))
    return curves


def _stock():
    curves = {}
    for count in (2, 4, 8):
        shares = []
        for cosine in _COSINES:
            # A common part and a part of its own for each: all pairs at this cosine.
            changes = np.sqrt(1.0 - cosine) * np.eye(count, count + 1)
            changes[:, -1] = np.sqrt(cosine)
            start = np.full(count + 1, 4.0)
            model, tuned = _vectors(start, *(start + changes))
            found = merging.model_stock(model, tuned).delta(0).ravel()
            shares.append(np.linalg.norm(found) / np.linalg.norm(changes.mean(axis=0)))
        curves[f"{count} models"] = (_COSINES, np.array(shares))
    return curves


PICTURES = {
    "arc": Picture("way to the other model", "length of the weights", _arc),
    "stock": Picture("cosine between the changes", "share of the average", _stock),
}
