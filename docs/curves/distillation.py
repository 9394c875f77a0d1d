"""Slopes of the ranking loss, and the closed form of the share of the labels."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture, binary_logits, loss_slopes

_MARGINS = np.linspace(-4.0, 4.0, 81)


def _pld():
    labels = np.zeros(len(_MARGINS), "int32")
    curves = {}
    for probability in (0.2, 0.5, 0.9):
        logit = np.log(probability / (1.0 - probability))
        targets = kr.losses.PLDLoss.pack_targets(labels, binary_logits(np.full(81, logit)))
        slopes = loss_slopes(kr.losses.PLDLoss(), targets, binary_logits(_MARGINS))
        curves[f"teacher gives {probability}"] = (_MARGINS, np.abs(slopes[:, 0]))
    return curves


def _weight():
    """Predictions with errors of both signs on labels, a teacher that shrinks everything."""
    y = np.linspace(-1.0, 1.0, 41)
    signs = np.where(np.arange(41) % 2, 1.0, -1.0)
    shrinking = np.linspace(0.02, 0.6, 30)
    curves = {}
    for error in (0.05, 0.15, 0.3):
        shares = [
            float(kr.functional.optimal_distillation_weight(y, y + error * signs, (1.0 - s) * y))
            for s in shrinking
        ]
        curves[f"error {error}"] = (shrinking, np.array(shares))
    return curves


PICTURES = {
    "pld": Picture("margin of the label", "size of the gradient", _pld),
    "weight": Picture("how far the teacher shrinks its predictions", "share of labels", _weight),
}
