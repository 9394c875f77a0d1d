"""Bit allocation: scores of layers, plans under a budget."""

from __future__ import annotations

import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.bits import test_equal_loss_rates, test_layer_importance, test_z_score_share
from tests.compress.bits.networks import DATA, network

_SCORES = {"first": 4.0, "middle": 0.1, "last": 1.0}
_LAYERS = ({"layers": "missing"}, ValueError, "layers")


def _scores(method, bits):
    return list(test_layer_importance.reference(method, bits).values())


def _plan():
    """Steps by hand: 36 weights at 3 bits are 108, and 72 are spent at 2 bits each.

    Falls of the loss for each bit: from 2 to 3 bits 0.75 c / 16 / size, to 4 0.9375 c / 16 / 2
    size; so `first` goes to 3 (12 bits of 36), `last` to 3 (8), `first` to 4 (12), and 4 are left.
    """
    return {"first": 4, "middle": 2, "last": 3}


ROWS = [
    Row(
        kc.bits.layer_importance,
        "function",
        inputs=lambda: {"model": network(), "data": DATA},
        arguments={"method": "fisher", "bits": 2, "batch_size": 3},
        knob={"bits": 3},
        outcome=lambda found: list(found.values()),
        reference=_scores,
        bad_arguments=(
            _LAYERS,
            ({"model": "model"}, TypeError, "model"),
            ({"data": None}, ValueError, "data"),
            ({"method": "magnitude"}, ValueError, "method"),
            ({"bits": 9}, ValueError, "bits"),
            ({"bits": 2.5}, TypeError, "bits"),
            ({"blocks": ["first"]}, ValueError, "blocks"),
            ({"num_probes": 0}, ValueError, "num_probes"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kc.bits.z_score_share,
        "function",
        inputs=lambda: {"weights": np.array([0.0, 0.0, 1.0, 0.0, 10.0, 6.0])},
        arguments={"threshold": 0.5},
        knob={"threshold": 1.5},
        reference=test_z_score_share.reference,
        bad_arguments=(
            ({"weights": "weights"}, TypeError, "weights"),
            ({"weights": []}, ValueError, "weights"),
            ({"threshold": "one"}, TypeError, "threshold"),
        ),
    ),
    Row(
        kc.bits.equal_loss_rates,
        "function",
        inputs=lambda: {"losses": np.array([0.3, 2.0, 17.0]), "sizes": np.array([10, 200, 30])},
        arguments={"mean_bits": 3.5},
        knob={"mean_bits": 3.0},
        reference=test_equal_loss_rates.reference,
        bad_arguments=(
            ({"losses": [1.0, -1.0, 2.0]}, ValueError, "losses"),
            ({"sizes": [1.0]}, ValueError, "sizes"),
            ({"mean_bits": "four"}, TypeError, "mean_bits"),
        ),
    ),
    Row(
        kc.bits.allocate_bits,
        "function",
        inputs=lambda: {"model": network()},
        arguments={"scores": _SCORES, "mean_bits": 3.0, "choices": (2, 3, 4), "method": "greedy"},
        knob={"mean_bits": 2.5},
        outcome=lambda plan: dict(plan),
        reference=_plan,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"scores": {}}, ValueError, "scores"),
            ({"scores": 1.0}, TypeError, "scores"),
            ({"mean_bits": 1.5}, ValueError, "mean_bits"),
            ({"mean_bits": None, "max_bytes": 20}, ValueError, "max_bytes"),
            ({"choices": (3, 2)}, ValueError, "choices"),
            ({"choices": (2, 9)}, ValueError, "choices"),
            ({"method": "best"}, ValueError, "method"),
            ({"fixed": {"missing": 8}}, ValueError, "fixed"),
        ),
    ),
    Row(kc.bits.BitPlan, "record"),
]
