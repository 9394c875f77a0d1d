"""Structured pruning from calibration data: statistics, scores, widths, compensation."""

from __future__ import annotations

import keras
import numpy as np

import keras_compress as kc
from keras_reweight.core.testing import Row
from tests.compress.structured import (
    test_block_importance,
    test_similarity_entropy,
)
from tests.compress.structured.importances import (
    test_entropy_taylor,
    test_fluctuation,
    test_obs_importance,
)
from tests.compress.structured.networks import dense, numbered

X = test_fluctuation.X
_UNITS = (6,)


def _scores(importance, model):
    return test_fluctuation.scores_of(importance, model)["hidden0"]


def _hidden(units=_UNITS):
    kernel, bias = (np.asarray(w, "float64") for w in dense(units).layers[0].get_weights())
    return np.maximum(X @ kernel + bias, 0.0)


def _head():
    return dense(_UNITS).get_layer("head").get_weights()[0]


def _fluctuation(metric, standardize):
    return test_fluctuation.reference_of_dense(X, _UNITS, metric=metric, standardize=standardize)[
        "hidden0"
    ]


def _obs(ridge):
    return test_obs_importance.reference_errors(_hidden(), _head(), np.arange(6), ridge)


def _with_normalization():
    layers = [keras.layers.BatchNormalization(name="norm"), keras.layers.Dense(2)]
    return numbered(keras.Sequential([keras.Input((5,)), *layers]))


def _statistics(found):
    return {name: getattr(found["hidden0"], name) for name in ("mean", "gram")}


_SCORED = {"kind": "object", "inputs": lambda: {"model": dense(_UNITS)}, "outcome": _scores}
_MODEL = {"kind": "function", "inputs": lambda: {"model": dense((8, 6)), "data": X}}
_BATCH = ({"batch_size": 0}, ValueError, "batch_size")
_LAYERS = ({"layers": "missing"}, ValueError, "layers")
_RATIO = ({"ratio": 1.0}, ValueError, "ratio")

ROWS = [
    Row(kc.calibration.InputStatistics, "record"),
    Row(
        kc.calibration.collect_input_statistics,
        arguments={"layers": "hidden0", "moments": ["mean", "gram"], "batch_size": 7},
        knob={"data": 2.0 * X},
        outcome=_statistics,
        reference=lambda: {"mean": X.astype("float64").mean(0), "gram": X.T.astype("float64") @ X},
        bad_arguments=(
            _BATCH,
            _LAYERS,
            ({"moments": "mean"}, TypeError, "moments"),
            ({"moments": ["median"]}, ValueError, "moments"),
            ({"verbose": 3}, ValueError, "verbose"),
        ),
        **_MODEL,
    ),
    Row(
        kc.structured.Fluctuation,
        arguments=lambda: {"data": X, "metric": "WIFN", "standardize": False, "batch_size": 7},
        knob={"metric": "IFV"},
        reference=_fluctuation,
        bad_arguments=(
            ({"metric": "var"}, ValueError, "metric"),
            ({"standardize": "yes"}, TypeError, "standardize"),
            _BATCH,
        ),
        **_SCORED,
    ),
    Row(
        kc.structured.OBSImportance,
        arguments=lambda: {"data": X, "ridge": 0.1, "normalizer": "none", "batch_size": 7},
        knob={"ridge": 0.5},
        reference=_obs,
        bad_arguments=(
            ({"ridge": 0.0}, ValueError, "ridge"),
            ({"normalizer": "l2"}, ValueError, "normalizer"),
            _BATCH,
        ),
        **_SCORED,
    ),
    Row(
        kc.structured.EntropyTaylor,
        arguments=lambda: {"data": X, "absolute": False, "batch_size": 7},
        knob={"absolute": True},
        reference=lambda absolute: test_entropy_taylor.reference_scores(
            X, dense(_UNITS).get_weights(), absolute
        ),
        bad_arguments=(
            ({"objective": "entropy"}, TypeError, "objective"),
            ({"absolute": "yes"}, TypeError, "absolute"),
            _BATCH,
        ),
        **_SCORED,
    ),
    Row(
        kc.structured.flap_prune,
        arguments={"ratio": 0.4, "metric": "WIFN", "structure": "UL-UM", "layers": "hidden0"},
        knob={"bias": False},
        bad_arguments=(
            _RATIO,
            _LAYERS,
            ({"metric": "var"}, ValueError, "metric"),
            ({"structure": "AL"}, ValueError, "structure"),
            ({"bias": "yes"}, TypeError, "bias"),
        ),
        **_MODEL,
    ),
    Row(
        kc.structured.adaptive_width,
        arguments={"threshold": 0.05, "iterations": 3, "layers": "hidden1"},
        knob={"threshold": 2.0},
        bad_arguments=(
            _LAYERS,
            ({"objective": "mse"}, ValueError, "objective"),
            ({"threshold": -0.1}, ValueError, "threshold"),
            ({"iterations": 0}, ValueError, "iterations"),
            ({"importance": "magnitude"}, TypeError, "importance"),
        ),
        **_MODEL,
    ),
    Row(
        kc.structured.block_importance,
        "function",
        arguments={"blocks": ["hidden0"], "batch_size": 7},
        inputs=lambda: {"model": dense((5,)), "data": X},
        knob=lambda: {"data": -X},
        outcome=lambda found: list(found.values()),
        reference=lambda: [test_block_importance.reference_importance(X, _hidden((5,)))],
        bad_arguments=(
            _BATCH,
            ({"blocks": "hidden0"}, TypeError, "blocks"),
            ({"blocks": ["missing"]}, ValueError, "blocks"),
        ),
    ),
    Row(
        kc.structured.noise_inputs,
        "function",
        arguments={"num_samples": 3, "seed": 5},
        inputs=lambda: {"model": dense(_UNITS)},
        knob={"seed": 6},
        reference=lambda num_samples, seed: np.random.default_rng(seed).random((num_samples, 5)),
        bad_arguments=(
            ({"num_samples": 0}, ValueError, "num_samples"),
            ({"seed": -1}, ValueError, "seed"),
            ({"model": "model"}, TypeError, "model"),
        ),
    ),
    Row(
        kc.structured.recalibrate_batch_norm,
        "function",
        arguments={"layers": "norm", "batch_size": 7},
        inputs=lambda: {"model": _with_normalization(), "data": X},
        knob=lambda: {"data": 2.0 * X},
        outcome=lambda _, model: model.get_layer("norm").get_weights()[2:],
        reference=lambda: [X.astype("float64").mean(0), X.astype("float64").var(0)],
        mutates=True,
        bad_arguments=(_BATCH, _LAYERS),
    ),
    Row(
        kc.structured.similarity_entropy,
        "function",
        arguments={"temperature": 5.0},
        inputs=lambda: {"features": X[:6]},
        knob={"temperature": 2.0},
        reference=test_similarity_entropy.reference_entropy,
        gradient_of="features",
        jit=True,
        bad_arguments=(
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"temperature": "warm"}, TypeError, "temperature"),
        ),
    ),
]
