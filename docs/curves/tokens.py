"""Weights against likelihoods, and what the selections keep."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture, weights

_LIKELIHOOD = np.linspace(0.005, 0.995, 100)
_RISE = np.linspace(-1.0, 4.0, 81)


def _likelihood():
    weightings = {
        "SatImp(5, 0.1)": kr.weightings.SatImp(5.0, 0.1),
        "SatImp(5, 1)": kr.weightings.SatImp(5.0, 1.0),
        "Saturation(1)": kr.weightings.Saturation(1.0),
        "Importance(5)": kr.weightings.Importance(5.0),
    }
    losses = -np.log(_LIKELIHOOD)
    return {label: (_LIKELIHOOD, weights(each, losses)) for label, each in weightings.items()}


def _sequences():
    weightings = {
        "NPO(0.1)": kr.weightings.NPO(0.1),
        "NPO(1.0)": kr.weightings.NPO(1.0),
        "SimNPO(2.5)": kr.weightings.SimNPO(2.5),
        "SimNPO(2.5), delta 1": kr.weightings.SimNPO(2.5, delta=1.0),
    }
    return {label: (_RISE, weights(each, _RISE)) for label, each in weightings.items()}


def _steer():
    log_probs = np.log(_LIKELIHOOD).astype("float32")[None]
    curves = {}
    for entropy in (0.2, 1.0, 3.0):
        values = kr.functional.steer_weights(
            log_probs,
            np.full_like(log_probs, np.log(0.5)),
            np.full_like(log_probs, entropy),
            np.ones((1, 1), "float32"),
        )
        curves[f"entropy {entropy}"] = (_LIKELIHOOD, ops.convert_to_numpy(values)[0])
    return curves


def _selection():
    values = np.linspace(0.0, 1.0, 41).astype("float32") ** 2
    indices = ops.convert_to_numpy(kr.functional.max_variance_subset(values, 16))
    kept = ops.convert_to_numpy(kr.functional.top_tokens(values, fraction=0.4))
    return {
        "max_variance_subset": (values, np.isin(np.arange(41), indices).astype("float32")),
        "top_tokens": (values, kept.astype("float32")),
    }


PICTURES = {
    "likelihood": Picture("likelihood of the token", "weight", _likelihood),
    "sequences": Picture("rise of the loss (NPO), loss (SimNPO)", "weight", _sequences),
    "steer": Picture("probability of the token", "weight", _steer),
    "selection": Picture("reward or score", "kept", _selection),
}
