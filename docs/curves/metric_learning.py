"""Weights of pairs against their similarity."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture, slopes

_SIMILARITY = np.linspace(-0.2, 1.0, 61)
_FIXED = 0.6


def _weightings():
    weighting = kr.metric_learning
    return {
        "multi-similarity": weighting.MultiSimilarityWeighting(beta=10.0),
        "contrastive": weighting.ContrastiveWeighting(positive_margin=0.8),
        "triplet": weighting.TripletWeighting(),
        "binomial deviance": weighting.BinomialDevianceWeighting(beta=4.0),
        "lifted structure": weighting.LiftedStructureWeighting(),
        "N-pair, temperature 0.5": weighting.NPairWeighting(0.5),
    }


def _pairs(column):
    """One anchor a row with a positive (column 0) and a negative (column 1), one of them fixed."""
    size = len(_SIMILARITY)
    similarity = np.zeros((size, size), "float32")
    similarity[:, 1 - column] = _FIXED
    similarity[:, column] = _SIMILARITY
    columns = np.broadcast_to(np.arange(size), (size, size))
    return {
        label: (
            _SIMILARITY,
            ops.convert_to_numpy(weighting(similarity, columns == 0, columns == 1))[:, column],
        )
        for label, weighting in _weightings().items()
    }


def _views():
    """Row `i` matches its own positive with the similarity `s_i` and no other one."""
    functions = {
        "InfoNCELoss": kr.losses.InfoNCELoss(0.2, symmetric=False, normalize=False),
        "FocalInfoNCELoss, gamma 0.5": kr.losses.FocalInfoNCELoss(
            0.5, temperature=0.2, normalize=False
        ),
        "FocalInfoNCELoss, gamma 2": kr.losses.FocalInfoNCELoss(
            2.0, temperature=0.2, normalize=False
        ),
    }
    size = len(_SIMILARITY)
    unit = np.eye(size, dtype="float32")
    curves = {}
    for label, loss in functions.items():

        def value(similarity, loss=loss):
            return loss(np.zeros(size), ops.stack([similarity[:, None] * unit, unit], axis=1))

        curves[label] = (_SIMILARITY, size * np.abs(slopes(value, _SIMILARITY)))
    return curves


def _shrink():
    confidence = np.linspace(0.3, 0.99, 70).astype("float32")
    rest = np.array([0.7, 0.2, 0.1], "float32")
    weak = np.concatenate([confidence[:, None], (1.0 - confidence)[:, None] * rest], axis=1)
    strong = np.zeros_like(weak)
    return {
        f"threshold {threshold}": (
            confidence,
            ops.convert_to_numpy(kr.functional.shrink_loss(weak, strong, threshold=threshold)),
        )
        for threshold in (0.8, 0.95)
    }


PICTURES = {
    "negatives": Picture(
        f"similarity of the negative (positive at {_FIXED})", "weight", lambda: _pairs(1)
    ),
    "positives": Picture(
        f"similarity of the positive (negative at {_FIXED})", "weight", lambda: _pairs(0)
    ),
    "views": Picture("similarity of the positive", "size of the gradient", _views),
    "shrink": Picture("confidence of the weak view", "loss", _shrink),
}
