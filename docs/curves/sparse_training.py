"""How many connections change when, and how many channels a sample needs."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_compress as kc
from docs.curves._picture import Picture

_PROGRESS = np.linspace(0.0, 0.999, 200)
_CHANNELS = 64


def _changing():
    evolutions = {
        "SET": kc.sparse_training.SET(0.3),
        "RigL": kc.sparse_training.RigL(0.3),
        "RigL, end=0.5": kc.sparse_training.RigL(0.3, end=0.5),
    }
    return {
        label: (
            100 * _PROGRESS,
            np.array([100 * evolution.fraction_at(0, progress) for progress in _PROGRESS]),
        )
        for label, evolution in evolutions.items()
    }


def _channels():
    rank = np.arange(_CHANNELS, dtype="float32")
    heats = {
        "all channels alike": np.ones(_CHANNELS, "float32"),
        "a steady decline": _CHANNELS - rank,
        "few strong channels": np.exp(-rank / 6),
    }
    shares = np.linspace(0.05, 1.0, 96)

    def active(heat, share, kind):
        targets = kc.dynamic.channel_targets(heat[None], float(share), kind=kind)
        return 100 * float(ops.convert_to_numpy(targets).mean())

    return {
        label: (shares, np.array([active(heat, share, "mass") for share in shares]))
        for label, heat in heats.items()
    }


PICTURES = {
    "changing": Picture("training, %", "connections that change at an update, %", _changing),
    "channels": Picture("share of the heat to keep", "active channels, %", _channels),
}
