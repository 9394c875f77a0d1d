"""Where quantizers put their levels, and what rounding to them costs."""

from __future__ import annotations

import numpy as np

import keras_compress as kc
from docs.curves._picture import Picture


def _weights():
    """Weights with tails a little heavier than normal ones, as training leaves them."""
    return np.random.default_rng(0).standard_t(5, size=(4096, 1)).astype("float32")


def _staircases():
    weights = np.sort(_weights(), axis=0)
    quantizers = {
        "MinMaxQuantizer": kc.quantizers.MinMaxQuantizer(3),
        "MSEQuantizer": kc.quantizers.MSEQuantizer(3),
        "StatsQuantizer": kc.quantizers.StatsQuantizer(3),
        "PowerQuantizer": kc.quantizers.PowerQuantizer(3),
        "CodebookQuantizer": kc.quantizers.CodebookQuantizer(3),
        "TernaryQuantizer": kc.quantizers.TernaryQuantizer(),
    }
    shown = np.abs(weights[:, 0]) < 5.0
    return {
        label: (weights[shown, 0], _rounded(q, weights)[shown, 0])
        for label, q in quantizers.items()
    }


def _errors():
    weights = _weights()
    kinds = {
        "MinMaxQuantizer": kc.quantizers.MinMaxQuantizer,
        "LSQQuantizer, untrained": kc.quantizers.LSQQuantizer,
        "MSEQuantizer": kc.quantizers.MSEQuantizer,
        "PowerQuantizer": kc.quantizers.PowerQuantizer,
        "CodebookQuantizer": kc.quantizers.CodebookQuantizer,
    }
    bits = np.arange(2, 7)
    return {
        label: (bits, np.array([_error(kind(int(one)), weights) for one in bits]))
        for label, kind in kinds.items()
    }


def _rounded(quantizer, weights):
    quantizer.initialize_from(weights)
    return np.asarray(quantizer.stored(weights).values())


def _error(quantizer, weights):
    """Decibels of rounding noise below the weights."""
    noise = np.mean(np.square(_rounded(quantizer, weights) - weights))
    return 10.0 * np.log10(np.mean(np.square(weights)) / noise)


PICTURES = {
    "levels": Picture("weight", "weight after rounding", _staircases),
    "errors": Picture("bits", "decibels of weights over rounding noise", _errors),
}
