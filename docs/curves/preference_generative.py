"""Slopes of preference losses, weights of ratios and steps."""

from __future__ import annotations

import numpy as np
from keras import losses, ops

import keras_reweight as kr
from docs.curves._picture import Picture, binary_logits, loss_slopes

_RATIO = np.linspace(-4.0, 4.0, 81)


def _pairs():
    """The log-probability of the chosen answer rises, that of the rejected one stays."""
    gain = np.linspace(-40.0, 40.0, 81)
    policy = np.stack([gain, np.zeros(81)], axis=-1)
    reference = np.stack([np.zeros(81), np.zeros(81), np.full(81, 10.0)], axis=-1)
    functions = {
        "DPOLoss": kr.losses.DPOLoss(0.1),
        "DPOLoss, smoothing 0.2": kr.losses.DPOLoss(0.1, label_smoothing=0.2),
        "RPOLoss, eta 0.2": kr.losses.RPOLoss(0.1, eta=0.2),
    }
    return {
        label: (gain, np.abs(loss_slopes(loss, reference, policy)[:, 0]))
        for label, loss in functions.items()
    }


def _ratio():
    ratio = _RATIO.astype("float32")
    curves = {}
    for kind in ("forward_kl", "jensen_shannon", "softened_reverse_kl", "squared_hellinger"):
        values = kr.functional.f_divergence_weight(ratio, kind, from_logits=True)
        curves[kind] = (_RATIO, ops.convert_to_numpy(values))
    return curves


def _mixing():
    biases = np.linspace(0.0, 2.0, 21)
    noise = np.random.default_rng(0).normal(size=(200, 4))
    curves = {}
    for scale in (0.5, 1.0, 2.0):
        shares = []
        for bias in biases:
            second = np.full_like(noise, bias) + 0.01 * noise[::-1]
            share = kr.functional.mse_optimal_mixing(scale * noise, second, np.zeros(4))
            shares.append(float(share))
        curves[f"noise {scale}"] = (biases, np.array(shares))
    return curves


def _annealing():
    steps = np.arange(0, 251)
    curves = {}
    for kind in ("linear", "sigmoid", "cyclic"):
        callback = kr.callbacks.KLAnnealing(100, maximum=0.8, kind=kind)
        curves[kind] = (steps, ops.convert_to_numpy(callback.value(steps)))
    return curves


def _overlap():
    """Twenty labeled voxels, all with one probability."""
    probability = np.linspace(0.05, 0.98, 60)
    labels = np.ones((60, 20, 1))
    predictions = np.broadcast_to(probability[:, None, None], labels.shape)
    curves = {}
    for gamma in (0.75, 1.0, 1.33):
        slopes = loss_slopes(kr.losses.FocalTverskyLoss(gamma=gamma), labels, predictions)
        curves[f"gamma {gamma}"] = (probability, np.abs(slopes.sum(axis=(1, 2))))
    return curves


def _stable_max():
    margins = np.linspace(-10.0, 20.0, 91)
    functions = {
        "softmax": losses.SparseCategoricalCrossentropy(from_logits=True),
        "StableMaxCrossentropy": kr.losses.StableMaxCrossentropy(),
    }
    labels = np.zeros(91, "int32")
    return {
        label: (margins, np.abs(loss_slopes(loss, labels, binary_logits(margins))[:, 0]))
        for label, loss in functions.items()
    }


PICTURES = {
    "pairs": Picture("log-ratio of the chosen answer", "size of the gradient", _pairs),
    "ratio": Picture("logarithm of the density ratio", "weight", _ratio),
    "mixing": Picture("bias of the second estimate", "share of the first", _mixing),
    "annealing": Picture("training step", "weight of the divergence", _annealing),
    "overlap": Picture("probability of the labeled voxels", "size of the gradient", _overlap),
    "stable_max": Picture("margin of the label", "size of the gradient", _stable_max),
}
