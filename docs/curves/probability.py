"""Soft targets, slopes of quantile and ordinal losses, and ordered quantiles."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture, loss_slopes

_ERRORS = np.linspace(-2.0, 2.0, 81)


def _targets():
    """Outcomes with the probability `p**2`: the predictions `p` are too high."""
    probability = np.linspace(0.0, 1.0, 400)
    outcome = (np.random.default_rng(0).random(400) < probability**2).astype("float32")
    targets = kr.functional.empirical_probability_targets
    return {
        "bin": (probability, targets(probability, outcome, num_bins=5)),
        "kde": (probability, targets(probability, outcome, method="kde")),
    }


def _quantiles():
    curves = {}
    for level in (0.1, 0.5, 0.9):
        slopes = loss_slopes(kr.losses.QuantileLoss([level]), _ERRORS[:, None], np.zeros((81, 1)))
        curves[f"level {level}"] = (_ERRORS, slopes[:, 0])
    loss = kr.losses.QuantileLoss([0.9], huber=0.5)
    slopes = loss_slopes(loss, _ERRORS[:, None], np.zeros((81, 1)))
    curves["level 0.9, huber 0.5"] = (_ERRORS, slopes[:, 0])
    return curves


def _monotone():
    level = np.linspace(0.1, 0.9, 9)
    crossing = np.array([0.0, 0.6, 0.4, 1.0, 1.2, 1.1, 0.9, 1.8, 1.7], "float32")
    curves = {"as predicted": (level, crossing)}
    for method in ("sort", "isotonic", "median_out"):
        ordered = kr.functional.monotone_quantiles(crossing[None], method=method)
        curves[method] = (level, ops.convert_to_numpy(ordered)[0])
    return curves


def _ordinal():
    """Three classes with boundaries at the logits -1 and 1, moved together."""
    position = np.linspace(-4.0, 4.0, 81)
    logits = np.stack([-1.0 - position, 1.0 - position], axis=-1)
    curves = {}
    for label, name in enumerate(("lowest", "middle", "highest")):
        slopes = loss_slopes(kr.losses.OrdinalCrossentropy(3), np.full(81, label), logits)
        curves[f"label {name}"] = (position, np.abs(slopes.sum(axis=-1)))
    return curves


PICTURES = {
    "targets": Picture("predicted probability", "soft target", _targets),
    "quantiles": Picture("target minus prediction", "slope", _quantiles),
    "monotone": Picture("level", "predicted quantile", _monotone),
    "ordinal": Picture("position of the sample", "size of the gradient", _ordinal),
}
