"""Quantiles: their losses, their order, and what is made of several models."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row

_LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]


def _quantiles():
    rng = np.random.default_rng(0)
    y_pred = np.sort(rng.normal(size=(12, 5))) + 0.3 * rng.normal(size=(12, 5))
    return {
        "y_true": rng.normal(size=12).astype("float32"),
        "y_pred": y_pred.astype("float32"),
    }


def _values():
    return {"values": _quantiles()["y_pred"]}


ROWS = [
    Row(
        kr.losses.QuantileLoss,
        "loss",
        arguments={
            "quantiles": _LEVELS,
            "huber": 0.4,
            "crossing_weight": 0.7,
            "crossing_margin": [0.01, 0.03, 0.04, 0.06, 0.09],
        },
        inputs=_quantiles,
        knob={"huber": 0.0},
        reference="tests.reweight.losses.test_quantile:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"quantiles": [0.5, 0.1]}, ValueError, "quantiles"),
            ({"quantiles": [0.0, 0.5]}, ValueError, "quantiles"),
            ({"quantiles": 0.5}, TypeError, "quantiles"),
            ({"huber": -1.0}, ValueError, "huber"),
            ({"crossing_weight": -1.0}, ValueError, "crossing_weight"),
            ({"crossing_margin": [0.1, 0.2]}, ValueError, "crossing_margin"),
            ({"crossing_margin": -0.5}, ValueError, "crossing_margin"),
        ),
    ),
    Row(
        kr.losses.QuantileLoss,
        "loss",
        name="QuantileLoss/pinball",
        arguments={"quantiles": _LEVELS},
        inputs=_quantiles,
        knob={"quantiles": [0.1, 0.25, 0.5, 0.75, 0.99]},
        reference="tests.reweight.losses.test_quantile:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(({"quantiles": []}, ValueError, "quantiles"),),
    ),
    Row(
        kr.losses.WeightedIntervalScore,
        "loss",
        arguments={"quantiles": _LEVELS, "weighting": "alpha"},
        inputs=_quantiles,
        knob={"weighting": "uniform"},
        reference="tests.reweight.losses.test_weighted_interval_score:reference",
        # Crossing quantiles make intervals of negative width, so the score may be negative.
        invariants=("permutation_equivariant",),
        bad_arguments=(
            ({"quantiles": [0.1, 0.5, 0.8]}, ValueError, "quantiles"),
            ({"weighting": "equal"}, ValueError, "weighting"),
        ),
    ),
    Row(
        kr.layers.QuantileAggregator,
        "layer",
        arguments={"resolution": "fine", "monotone": "average"},
        inputs=lambda: {
            "inputs": np.random.default_rng(0).normal(size=(6, 3, 4)).astype("float32")
        },
        knob={"resolution": "coarse"},
        reference="tests.reweight.layers.test_quantile_aggregator:reference",
        bad_arguments=(
            ({"resolution": "finest"}, ValueError, "resolution"),
            ({"monotone": "up"}, ValueError, "monotone"),
        ),
    ),
    Row(
        kr.functional.monotone_quantiles,
        "function",
        inputs=_values,
        arguments={"method": "isotonic"},
        knob={"method": "cummax"},
        reference="tests.reweight.functional.test_monotone_quantiles:reference",
        gradient_of="values",
        invariants=("permutation_equivariant",),
        jit=True,
        bad_arguments=(({"method": "up"}, ValueError, "method"),),
    ),
    Row(
        kr.functional.quantile_crossing_penalty,
        "function",
        inputs=_values,
        arguments={"margin": 0.05},
        knob={"margin": [0.0, 0.1, 0.2, 0.3, 0.4]},
        reference="tests.reweight.functional.test_quantile_crossing_penalty:reference",
        gradient_of="values",
        invariants=("nonnegative", "permutation_equivariant"),
        jit=True,
        bad_arguments=(
            ({"margin": -0.1}, ValueError, "margin"),
            ({"margin": [0.1, 0.2]}, ValueError, "margin"),
        ),
    ),
]
