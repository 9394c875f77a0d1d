"""Unlearning: weights of tokens and sequences to forget, their losses and the callback."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, Task

_TOKENS = np.array([[0, 1, 2], [4, 3, -100], [2, 2, 2], [1, -100, -100], [3, 0, 1], [4, 4, 0]])
_REFERENCE = [0.5 * (1 + index) for index in range(12)]


def _logits():
    return np.random.default_rng(2).normal(size=(6, 3, 5)).astype("float32")


def _sequences():
    return {"y_true": _TOKENS.astype("float32"), "y_pred": _logits()}


def _with_reference():
    packed = kr.data.pack_reference(_TOKENS, np.linspace(1.0, 6.0, 6))
    return {"y_true": packed, "y_pred": _logits()}


def _language_model():
    layers = [
        keras.Input((3,), dtype="int32"),
        keras.layers.Embedding(5, 4, mask_zero=True),
        keras.layers.Dense(5),
    ]
    model = keras.Sequential(layers)
    rng = np.random.default_rng(8)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def _nll_reference(model, x, y, ignore_id):
    from tests.reweight.functional.test_sequence_nll import reference

    return reference(model, x, np.where(np.asarray(x) == 0, -100, y), ignore_id)


def _forget(with_ids=False):
    def targets(y):
        ids = np.arange(12) if with_ids else None
        group = (np.arange(12) % 3 == 1).astype("int32")
        return kr.data.pack_targets(y, group=group, sample_id=ids)

    return Task(targets=targets, prepare=kr.data.enable_aux_targets)


def _forget_with_ids():
    return _forget(with_ids=True)


_BAD_EXPONENTS = {
    name: (({name: -1.0}, ValueError, name), ({name: "hot"}, TypeError, name))
    for name in ("beta", "saturation", "importance")
}

ROWS = [
    Row(
        kr.weightings.SatImp,
        "weighting",
        arguments={"saturation": 2.0, "importance": 0.5},
        knob={"saturation": 1.0, "importance": 2.0},
        schedulable=("saturation", "importance"),
        reference="tests.reweight.weightings.test_sat_imp:reference",
        bad_arguments=(*_BAD_EXPONENTS["saturation"], *_BAD_EXPONENTS["importance"]),
    ),
    Row(
        kr.weightings.Saturation,
        "weighting",
        arguments={"beta": 2.0},
        knob={"beta": 0.5},
        schedulable=("beta",),
        reference="tests.reweight.weightings.test_saturation:reference",
        bad_arguments=_BAD_EXPONENTS["beta"],
    ),
    Row(
        kr.weightings.Importance,
        "weighting",
        arguments={"beta": 2.0},
        knob={"beta": 0.5},
        schedulable=("beta",),
        reference="tests.reweight.weightings.test_importance:reference",
        bad_arguments=_BAD_EXPONENTS["beta"],
    ),
    Row(
        kr.weightings.NPO,
        "weighting",
        arguments={"beta": 0.7},
        knob={"beta": 0.2},
        reference="tests.reweight.weightings.test_npo:reference",
        bad_arguments=(({"beta": 0.0}, ValueError, "beta"), ({"beta": "x"}, TypeError, "beta")),
    ),
    Row(
        kr.weightings.SimNPO,
        "weighting",
        arguments={"beta": 1.5, "delta": 0.5},
        knob={"delta": 1.0},
        reference="tests.reweight.weightings.test_sim_npo:reference",
        bad_arguments=(
            ({"beta": 0.0}, ValueError, "beta"),
            ({"delta": float("inf")}, ValueError, "delta"),
            ({"delta": "x"}, TypeError, "delta"),
        ),
    ),
    Row(
        kr.losses.NPOLoss,
        "loss",
        arguments={"beta": 0.5, "ignore_id": 4},
        knob={"beta": 2.0},
        inputs=_with_reference,
        reference="tests.reweight.losses.test_npo:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"beta": 0.0}, ValueError, "beta"),
            ({"beta": "x"}, TypeError, "beta"),
            ({"ignore_id": 0.5}, TypeError, "ignore_id"),
        ),
    ),
    Row(
        kr.losses.SimNPOLoss,
        "loss",
        arguments={"beta": 1.5, "delta": 0.4, "ignore_id": 4},
        knob={"delta": 1.0},
        inputs=_sequences,
        reference="tests.reweight.losses.test_sim_npo:reference",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(
            ({"beta": 0.0}, ValueError, "beta"),
            ({"delta": "x"}, TypeError, "delta"),
            ({"ignore_id": 0.5}, TypeError, "ignore_id"),
        ),
    ),
    Row(
        kr.functional.sequence_log_prob,
        "function",
        inputs=lambda: {
            "logits": _logits(),
            "tokens": _TOKENS,
            "mask": np.arange(18).reshape((6, 3)) % 4 != 2,
        },
        knob={"mask": None},
        reference="tests.reweight.functional.test_sequence_log_prob:reference",
        gradient_of="logits",
        jit=True,
        bad_arguments=(
            ({"logits": np.zeros((6, 5), "float32")}, ValueError, "logits"),
            ({"tokens": np.zeros((6,), "int32")}, ValueError, "tokens"),
            ({"mask": np.ones((6,), "bool")}, ValueError, "mask"),
        ),
    ),
    Row(
        kr.functional.sequence_nll,
        "function",
        arguments={"ignore_id": 2, "batch_size": 4},
        knob={"ignore_id": 1},
        inputs=lambda: {
            "model": _language_model(),
            "x": np.random.default_rng(3).integers(0, 5, (6, 3)),
            "y": _TOKENS,
        },
        reference=_nll_reference,
        bad_arguments=(
            ({"x": np.zeros((5, 3), "int32")}, ValueError, "x"),
            ({"y": np.zeros((6,), "int32")}, ValueError, "y"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"ignore_id": 0.5}, TypeError, "ignore_id"),
        ),
    ),
    Row(
        kr.data.pack_reference,
        "function",
        inputs=lambda: {"tokens": _TOKENS, "reference": np.linspace(1.0, 6.0, 6)},
        reference="tests.reweight.data.test_pack_reference:reference",
        bad_arguments=(
            ({"tokens": np.zeros((6,), "int32")}, ValueError, "tokens"),
            ({"tokens": np.zeros((6, 3))}, TypeError, "tokens"),
            ({"reference": np.ones((5,))}, ValueError, "reference"),
        ),
    ),
    Row(
        kr.callbacks.Unlearn,
        "callback",
        arguments={
            "weighting": kr.weightings.SatImp(2.0, 0.5),
            "forget_weight": 0.5,
            "retain_weight": 2.0,
            "granularity": "sample",
        },
        inputs=_forget,
        knob={"weighting": None},
        bad_arguments=(
            ({"weighting": "sat_imp"}, TypeError, "weighting"),
            ({"forget_weight": -1.0}, ValueError, "forget_weight"),
            ({"retain_weight": -1.0}, ValueError, "retain_weight"),
            ({"granularity": "word"}, ValueError, "granularity"),
            ({"reference_nll": [1.0]}, ValueError, "reference_nll"),
        ),
    ),
    Row(
        kr.callbacks.Unlearn,
        "callback",
        name="Unlearn_NPO",
        arguments={
            "weighting": kr.weightings.NPO(0.5),
            "granularity": "sample",
            "reference_nll": _REFERENCE,
        },
        inputs=_forget_with_ids,
        knob={"reference_nll": _REFERENCE[::-1]},
        bad_arguments=(
            ({"granularity": "token"}, ValueError, "granularity"),
            ({"reference_nll": [1.0, float("nan")]}, ValueError, "reference_nll"),
            ({"reference_nll": [[1.0]]}, ValueError, "reference_nll"),
            ({"reference_nll": [1.0, 2.0]}, ValueError, "reference_nll"),
        ),
    ),
]
