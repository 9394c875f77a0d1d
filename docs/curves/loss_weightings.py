"""Weights against losses, and the slopes of comp-sum losses against margins."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture, binary_logits, loss_slopes, weights

_LOSSES = np.linspace(0.0, 4.0, 81)
_MARGINS = np.linspace(-4.0, 4.0, 81)


def _of_losses(weightings):
    return lambda: {label: (_LOSSES, weights(each, _LOSSES)) for label, each in weightings.items()}


def _comp_sum():
    logits, labels = binary_logits(_MARGINS), np.zeros(len(_MARGINS), "int32")
    curves = {}
    for tau in (0.7, 1.0, 1.5, 2.0):
        slopes = loss_slopes(kr.losses.CompSumLoss(tau), labels, logits)
        curves[f"tau={tau}"] = (_MARGINS, np.abs(slopes[:, 0]))
    return curves


PICTURES = {
    "bounded": Picture(
        "loss",
        "weight",
        _of_losses(
            {
                "LinUpper(0.4)": kr.weightings.LinUpper(0.4),
                "Upper(0.4)": kr.weightings.Upper(0.4),
                "Quadratic(0.4)": kr.weightings.Quadratic(0.4),
                "Extremes(0.4)": kr.weightings.Extremes(0.4),
            }
        ),
    ),
    "worst_case": Picture(
        "loss",
        "weight",
        _of_losses(
            {
                "KLDRO(1.0)": kr.weightings.KLDRO(1.0),
                "CVaR(0.5)": kr.weightings.CVaR(0.5),
                "ChiSquareDRO(0.5)": kr.weightings.ChiSquareDRO(0.5),
            }
        ),
    ),
    "comp_sum": Picture("margin of the label", "size of the gradient", _comp_sum),
    "wrappers": Picture(
        "loss",
        "weight",
        _of_losses(
            {
                "KLDRO(1.0)": kr.weightings.KLDRO(1.0),
                "Clipped, maximum 2": kr.weightings.Clipped(kr.weightings.KLDRO(1.0), maximum=2.0),
                "Mixed, half uniform": kr.weightings.Mixed(kr.weightings.KLDRO(1.0), mix=0.5),
                "Truncated, highest fifth dropped": kr.weightings.Truncated(
                    kr.weightings.KLDRO(1.0), drop_highest=0.2
                ),
            }
        ),
    ),
}
