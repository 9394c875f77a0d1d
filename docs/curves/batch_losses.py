"""Slopes of losses of a batch, against one score, probability, margin or residual."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from docs.curves._picture import Picture, loss_slopes
from keras_reweight.core.stateful_loss import FinalMemory

_SCORES = np.linspace(0.0, 1.0, 51)


def _auc():
    """Positives at all scores, negatives together at one."""
    labels = np.concatenate([np.ones(51), np.zeros(51)])[:, None]
    curves = {}
    for negative in (0.2, 0.5):
        scores = np.concatenate([_SCORES, np.full(51, negative)])[:, None]
        slopes = loss_slopes(kr.losses.AUCMarginLoss(), labels, scores)
        curves[f"negatives at {negative}"] = (_SCORES, np.abs(slopes[:51, 0]))
    return curves


def _any_loss():
    labels = np.concatenate([np.ones(51), np.zeros(51)])[:, None]
    scores = np.concatenate([_SCORES, np.full(51, 0.3)])[:, None]
    return {
        f"amplifier {amplifier:.0f}": (
            _SCORES,
            np.abs(loss_slopes(kr.losses.AnyLoss("f1", amplifier=amplifier), labels, scores))[
                :51, 0
            ],
        )
        for amplifier in (5.0, 20.0, 73.0)
    }


def _ens():
    margins = np.linspace(-4.0, 4.0, 81)
    curves = {}
    for seed in range(3):
        loss = kr.losses.EnsLoss(seed=seed)
        loss.memory = FinalMemory(loss.state_spec())
        slopes = loss_slopes(loss, np.ones((81, 1)), margins[:, None])
        curves[f"draw {seed + 1}"] = (margins, np.abs(slopes[:, 0]))
    return curves


def _cs():
    """Samples so far apart that each is compared with its own target alone."""
    residuals = np.linspace(0.0, 6.0, 61)
    x = 100.0 * np.arange(61)[:, None]
    targets = np.concatenate([residuals[:, None], x], axis=1)
    curves = {}
    for sigma in (0.5, 1.0, 2.0):
        loss = kr.losses.ConditionalCSLoss(sigma=sigma)
        slopes = loss_slopes(loss, targets, np.zeros((61, 1)))
        curves[f"sigma {sigma}"] = (residuals, np.abs(slopes[:, 0]))
    return curves


PICTURES = {
    "auc": Picture("score of the positive", "size of the gradient", _auc),
    "any_loss": Picture("probability of the positive", "size of the gradient", _any_loss),
    "ens": Picture("margin of the label", "size of the gradient", _ens),
    "cs": Picture("residual of the sample", "size of the gradient", _cs),
}
