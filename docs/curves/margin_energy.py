"""Weights against energies, margins and steps of an attack."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_reweight as kr
from docs.curves._picture import Picture, binary_logits, weights

_MARGINS = np.linspace(-6.0, 6.0, 81)


def _energy():
    energy = np.linspace(-6.0, 6.0, 81)
    # Two equal logits z have the energy -(z + log 2).
    logits = np.repeat(-energy[:, None] - np.log(2.0), 2, axis=1).astype("float32")
    return {"Energy": (energy, weights(kr.weightings.Energy(), np.ones(81), y_pred=logits))}


def _margin():
    logits = binary_logits(-_MARGINS)
    probabilities = ops.convert_to_numpy(ops.softmax(logits))
    margins = probabilities[:, 1] - probabilities[:, 0]
    weightings = {
        "bias -1.5, slope 1": kr.weightings.ProbabilityMargin(),
        "bias -0.05, slope 10": kr.weightings.ProbabilityMargin(bias=-0.05, slope=10.0),
    }
    inputs = {"y_true": np.zeros(81, "int32"), "y_pred": logits}
    return {
        label: (margins, weights(each, np.ones(81), **inputs)) for label, each in weightings.items()
    }


def _gairat():
    survived = np.arange(11)
    return {
        kind: (
            survived,
            ops.convert_to_numpy(kr.functional.gairat_weights(survived, num_steps=10, kind=kind)),
        )
        for kind in ("tanh", "sigmoid", "discrete")
    }


PICTURES = {
    "energy": Picture("energy", "weight", _energy),
    "margin": Picture("probability margin of the best wrong class", "weight", _margin),
    "gairat": Picture("attack steps survived", "weight", _gairat),
}
