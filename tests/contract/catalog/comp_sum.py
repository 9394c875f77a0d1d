"""Losses between the exponential loss and the absolute error, and worst-case weights over time."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from keras_reweight.core.testing.tasks import labels, logits


def _probabilities():
    exponentials = np.exp(logits())
    return {
        "y_true": labels(),
        "y_pred": exponentials / exponentials.sum(axis=-1, keepdims=True),
    }


_COMP_SUM = {
    "kind": "loss",
    "reference": "tests.reweight.losses.test_comp_sum:reference",
    "invariants": ("nonnegative", "permutation_equivariant"),
    "bad_arguments": (
        ({"tau": -0.5}, ValueError, "tau"),
        ({"tau": "one"}, TypeError, "tau"),
        ({"from_logits": "yes"}, TypeError, "from_logits"),
    ),
}

ROWS = [
    Row(kr.losses.CompSumLoss, arguments={"tau": 1.7}, knob={"tau": 0.4}, **_COMP_SUM),
    Row(
        kr.losses.CompSumLoss,
        name="CompSumLoss_probabilities",
        arguments={"tau": 0.5, "from_logits": False},
        knob={"tau": 2.0},
        inputs=_probabilities,
        **_COMP_SUM,
    ),
    Row(
        kr.callbacks.KLDROReweight,
        "callback",
        arguments={"temperature": 0.5, "rate": 0.3, "max_weight": 4.0},
        knob={"rate": 0.8},
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"temperature": "hot"}, TypeError, "temperature"),
            ({"rate": 1.5}, ValueError, "rate"),
            ({"max_weight": 0.0}, ValueError, "max_weight"),
            ({"granularity": "word"}, ValueError, "granularity"),
        ),
    ),
]
