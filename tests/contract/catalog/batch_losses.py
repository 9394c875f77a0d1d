"""Losses of a whole batch or with memory, and what they need: optimizer, callbacks, batches."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing import Row, Task
from tests.reweight.losses import test_any_loss, test_auc_margin, test_ens_loss

_Y_TRUE = np.array([1, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0])
_SCORES = np.random.default_rng(4).uniform(0.1, 0.9, size=(12, 1)).astype("float32")
_LOGITS = np.random.default_rng(5).normal(size=(12, 3)).astype("float32")
_FEATURES = np.random.default_rng(6).normal(size=(12, 2)).astype("float32")
_WEIGHTS = np.array([1, 2, 0, 1, 0.5, 1, 3, 1, 0, 1, 1, 2], "float32")
_TARGETS = np.random.default_rng(7).normal(size=(12, 1)).astype("float32")


def _scores():
    return {"y_true": _Y_TRUE, "y_pred": _SCORES}


def _logits():
    return {"y_true": np.arange(12) % 3, "y_pred": _LOGITS}


def _regression():
    packed = np.concatenate([_TARGETS, _FEATURES], axis=1)
    return {"y_true": packed, "y_pred": 0.5 * _TARGETS + 0.3}


def _variables():
    t = np.tanh(_FEATURES[:, :1]) + 0.2 * _TARGETS
    return {"x": _FEATURES, "t": t, "sample_weight": _WEIGHTS}


def _conditional_variables():
    y_pred = 0.5 * _TARGETS + 0.3
    return {"x": _FEATURES, "y_true": _TARGETS, "y_pred": y_pred, "sample_weight": _WEIGHTS}


def _seesaw():
    return Task(loss=lambda: kr.losses.SeesawLoss(num_classes=3))


def _pesg():
    return Task(optimizer=lambda **options: kr.optimizers.PESG(0.1, epoch_decay=0.1, **options))


def _penalty(layer, x, t):
    found = layer([x, t])
    return {"output": found, "loss": ops.sum(layer.losses)}


def _epoch(batches):
    """Positives of every batch, and how often each sample is in the epoch."""
    rows = [batches[i] for i in range(len(batches))]
    seen = np.bincount(np.concatenate([x for x, _ in rows]).ravel().astype(int), minlength=11)
    return {"positives": np.array([y.sum() for _, y in rows]), "first": rows[0][0], "seen": seen}


def _epoch_reference():
    """Two of three positives in each of four batches of two negatives: 8 negatives, once each."""
    generator = np.random.default_rng([1, 0])
    positives = [generator.permutation([0, 4, 9]) for _ in range(3)]
    negatives = generator.permutation([1, 2, 3, 5, 6, 7, 8, 10])
    order = np.concatenate(positives)[:8]
    seen = np.bincount(np.concatenate([order, negatives]), minlength=11)
    return {
        "positives": np.full(4, 2),
        "first": np.concatenate([order[:2], negatives[:2]])[:, None],
        "seen": seen,
    }


ROWS = [
    Row(kr.losses.BatchLoss, "base"),
    Row(kr.losses.MaskedLoss, "base"),
    Row(kr.callbacks.LossState, "callback", inputs=_seesaw),
    Row(
        kr.losses.AUCMarginLoss,
        "loss",
        arguments={"margin": 0.8, "prior": 0.25},
        inputs=_scores,
        knob={"margin": 0.3},
        reference=test_auc_margin.reference,
        invariants=("nonnegative", "permutation_invariant"),
        bad_arguments=(
            ({"margin": 0.0}, ValueError, "margin"),
            ({"prior": 1.0}, ValueError, "prior"),
            ({"prior": "train"}, ValueError, "prior"),
            ({"from_logits": 1}, TypeError, "from_logits"),
        ),
    ),
    Row(
        kr.losses.AUCMarginLoss,
        "loss",
        name="AUCMarginLoss_of_logits",
        arguments={"prior": "batch", "from_logits": True},
        inputs=lambda: {"y_true": np.eye(3, dtype=int)[np.arange(12) % 3], "y_pred": _LOGITS},
        knob={"from_logits": False},
        reference=test_auc_margin.reference,
        invariants=("permutation_invariant",),
        bad_arguments=(({"from_logits": "yes"}, TypeError, "from_logits"),),
    ),
    Row(
        kr.losses.AUCMinMaxLoss,
        "loss",
        arguments={"margin": 0.8, "prior": "batch"},
        inputs=_scores,
        knob={"prior": 0.4},
        reference=test_auc_margin.reference,
        invariants=("nonnegative", "permutation_invariant"),
        bad_arguments=(
            ({"margin": -1.0}, ValueError, "margin"),
            ({"prior": 0.0}, ValueError, "prior"),
        ),
    ),
    Row(
        kr.losses.AnyLoss,
        "loss",
        arguments={"metric": "fbeta", "amplifier": 9.0, "beta": 2.0, "bce_weight": 0.25},
        inputs=_scores,
        knob={"amplifier": 4.0},
        reference=test_any_loss.reference,
        invariants=("nonnegative", "permutation_invariant"),
        bad_arguments=(
            ({"metric": "auc"}, ValueError, "metric"),
            ({"amplifier": 0.0}, ValueError, "amplifier"),
            ({"threshold": 1.0}, ValueError, "threshold"),
            ({"metric": "f1"}, ValueError, "beta"),
            ({"bce_weight": 1.5}, ValueError, "bce_weight"),
            ({"multi_label": 1}, TypeError, "multi_label"),
        ),
    ),
    Row(
        kr.losses.AnyLoss,
        "loss",
        name="AnyLoss_of_classes",
        arguments={"metric": "balanced_accuracy", "amplifier": 6.0, "from_logits": True},
        inputs=_logits,
        knob={"metric": "mcc"},
        reference=test_any_loss.reference,
        bad_arguments=(({"beta": 2.0}, ValueError, "beta"),),
    ),
    Row(
        kr.losses.EnsLoss,
        "loss",
        arguments={"box_cox": 0.5, "redraw_steps": 2, "seed": 3},
        inputs=lambda: {"y_true": _Y_TRUE, "y_pred": 3.0 * _LOGITS[:, :1]},
        with_memory=True,
        knob={"seed": 4},
        reference=test_ens_loss.reference,
        reference_gradient=test_ens_loss.reference_gradient,
        invariants=("permutation_equivariant",),
        bad_arguments=(
            ({"box_cox": "zero"}, TypeError, "box_cox"),
            ({"redraw_steps": 0}, ValueError, "redraw_steps"),
            ({"seed": 0.5}, TypeError, "seed"),
        ),
    ),
    Row(
        kr.losses.ConditionalCSLoss,
        "loss",
        arguments={"sigma": 0.7, "denominators": "code"},
        inputs=_regression,
        knob={"denominators": "paper"},
        reference="tests.reweight.losses.test_conditional_cs:reference",
        invariants=("permutation_invariant",),
        bad_arguments=(
            ({"sigma": 0.0}, ValueError, "sigma"),
            ({"sigma": "mean"}, ValueError, "sigma"),
            ({"denominators": "sum"}, ValueError, "denominators"),
        ),
    ),
    Row(
        kr.functional.cs_divergence,
        "function",
        arguments={"sigma": 0.7, "denominators": "paper"},
        inputs=_conditional_variables,
        knob={"sigma": 1.5},
        reference="tests.reweight.functional.test_cs_divergence:reference",
        gradient_of="y_pred",
        jit=True,
        invariants=("permutation_invariant",),
        bad_arguments=(
            ({"sigma": -1.0}, ValueError, "sigma"),
            ({"denominators": "sum"}, ValueError, "denominators"),
            ({"sample_weight": np.ones((12, 2))}, ValueError, "sample_weight"),
            ({"y_pred": np.ones((12, 2), "float32")}, ValueError, "y_pred"),
        ),
    ),
    Row(
        kr.functional.cs_qmi,
        "function",
        arguments={"sigma": 0.7, "normalized": True},
        inputs=_variables,
        knob={"normalized": False},
        reference="tests.reweight.functional.test_cs_qmi:reference",
        gradient_of="t",
        jit=True,
        invariants=("nonnegative", "permutation_invariant"),
        bad_arguments=(
            ({"sigma": "mean"}, ValueError, "sigma"),
            ({"normalized": 1}, TypeError, "normalized"),
            ({"sample_weight": np.ones((12, 2))}, ValueError, "sample_weight"),
        ),
    ),
    Row(
        kr.layers.CSQMIRegularizer,
        "object",
        arguments={"beta": 0.5, "sigma": 0.7, "normalized": False},
        inputs=lambda: {name: _variables()[name] for name in ("x", "t")},
        outcome=_penalty,
        knob={"beta": 0.1},
        reference="tests.reweight.layers.test_csqmi_regularizer:reference",
        bad_arguments=(
            ({"beta": -1.0}, ValueError, "beta"),
            ({"sigma": 0.0}, ValueError, "sigma"),
            ({"normalized": "no"}, TypeError, "normalized"),
        ),
    ),
    Row(
        kr.optimizers.PESG,
        "optimizer",
        arguments={
            "learning_rate": 0.2,
            "momentum": 0.7,
            "clip_value": 0.8,
            "l2": 0.05,
            "epoch_decay": 0.3,
        },
        knob={"momentum": 0.5},
        reference="tests.reweight.optimizers.test_pesg:reference",
        bad_arguments=(
            ({"learning_rate": 0.0}, ValueError, "learning_rate"),
            ({"learning_rate": "fast"}, TypeError, "learning_rate"),
            ({"momentum": 0.0}, ValueError, "momentum"),
            ({"momentum": 1.5}, ValueError, "momentum"),
            ({"clip_value": -1.0}, ValueError, "clip_value"),
            ({"l2": -1.0}, ValueError, "l2"),
            ({"epoch_decay": "no"}, TypeError, "epoch_decay"),
        ),
    ),
    Row(
        kr.callbacks.PESGSchedule,
        "callback",
        arguments={"epochs": [1], "decay_factor": 5.0},
        inputs=_pesg,
        knob={"decay_factor": 2.0},
        bad_arguments=(
            ({"epochs": [-1]}, ValueError, "epochs"),
            ({"epochs": "1"}, TypeError, "epochs"),
            ({"decay_factor": 0.0}, ValueError, "decay_factor"),
        ),
    ),
    Row(
        kr.data.BalancedBatches,
        "object",
        arguments=lambda: {
            "x": np.arange(11)[:, None],
            "y": np.isin(np.arange(11), (0, 4, 9)).astype("int32"),
            "batch_size": 4,
            "sampling_rate": 0.5,
            "seed": 1,
        },
        outcome=_epoch,
        knob={"seed": 2},
        reference=_epoch_reference,
        bad_arguments=(
            ({"batch_size": 1}, ValueError, "batch_size"),
            ({"sampling_rate": 1.0}, ValueError, "sampling_rate"),
            ({"seed": -1}, ValueError, "seed"),
            ({"y": np.zeros(11)}, ValueError, "y"),
            ({"y": np.arange(11)}, ValueError, "y"),
            ({"x": np.zeros((3, 1))}, ValueError, "x"),
            ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ),
    ),
]
