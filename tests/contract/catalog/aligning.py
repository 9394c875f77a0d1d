"""Aligning classifiers, criticality of layers, and fine-tuning a part."""

from __future__ import annotations

import functools

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.editing import (
    networks,
    test_align_weights,
    test_alignment_ratio,
    test_module_criticality,
    test_rift,
    test_select_interpolation,
)
from tests.reweight.signatures import models

_HEAD = (
    ({"model": "model"}, TypeError, "model"),
    ({"old": [0, 9]}, ValueError, "old"),
    ({"old": [0.5]}, TypeError, "old"),
    ({"old": 1}, TypeError, "old"),
    ({"new": [0, 1]}, ValueError, "new"),
    ({"layer": "missing"}, ValueError, "layer"),
)


@functools.cache
def _classifier():
    """One for all checks: nothing here changes its model."""
    model = models.dense()
    model.get_layer("head").kernel.assign(np.random.default_rng(5).normal(size=(4, 2)))
    return model


def _trainable(context):
    with context as model:
        return [float(variable.trainable) for variable in model.weights]


@functools.cache
def _line():
    return dict(zip(("model", "patch"), test_select_interpolation.line(), strict=True))


ROWS = [
    Row(
        kr.editing.alignment_ratio,
        "function",
        inputs=lambda: {"model": _classifier(), "old": [0]},
        arguments={"new": [1], "layer": "head"},
        knob={"old": [1], "new": [0]},
        reference=test_alignment_ratio.reference,
        bad_arguments=_HEAD,
    ),
    Row(
        kr.editing.align_weights,
        "function",
        inputs=lambda: {"model": _classifier(), "old": [0]},
        arguments={"new": [1], "layer": "head", "only_shrink": False},
        outcome=lambda patch: patch.delta("head/kernel"),
        knob={"old": [], "new": None},
        reference=test_align_weights.reference_delta,
        accepts_any=("name",),
        bad_arguments=(*_HEAD, ({"only_shrink": 1}, TypeError, "only_shrink")),
    ),
    Row(
        kr.callbacks.WeightAligning,
        "callback",
        arguments={"old": [0], "new": [1, 2], "layer": None, "only_shrink": False},
        knob={"old": [0, 1], "new": [2]},
        bad_arguments=(
            ({"old": 1}, TypeError, "old"),
            ({"old": [0, -1]}, ValueError, "old"),
            ({"new": [0.5]}, TypeError, "new"),
            ({"layer": 3}, TypeError, "layer"),
            ({"layer": "missing"}, ValueError, "layer"),
            ({"only_shrink": 1}, TypeError, "only_shrink"),
        ),
    ),
    Row(
        kr.editing.module_criticality,
        "function",
        inputs=lambda: {"model": networks.shared().model, "data": networks.data()},
        arguments={"epsilon": 0.3, "rounds": 3, "learning_rate": 2.0, "batch_size": 5},
        outcome=lambda found: list(found.values()),
        knob={"epsilon": 0.1},
        reference=test_module_criticality.reference,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"epsilon": 0.0}, ValueError, "epsilon"),
            ({"rounds": 0}, ValueError, "rounds"),
            ({"learning_rate": -1.0}, ValueError, "learning_rate"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kr.editing.fine_tune_only,
        "function",
        inputs=lambda: {"model": _classifier(), "layers": "second"},
        outcome=_trainable,
        knob={"layers": ["first", "second"]},
        reference=lambda: [0.0, 0.0, 1.0, 1.0, 0.0, 0.0],
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"layers": "missing"}, ValueError, "layers"),
        ),
    ),
    Row(kr.editing.InterpolationChoice, "record"),
    Row(
        kr.editing.select_interpolation,
        "function",
        inputs=_line,
        arguments={
            "score": test_select_interpolation.score,
            "constraint": test_select_interpolation.constraint,
            "tolerance": 0.06,
            "alphas": (0.25, 0.5, 0.75, 1.0),
        },
        knob={"tolerance": 0.5},
        reference=test_select_interpolation.reference,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"patch": "patch"}, TypeError, "patch"),
            ({"score": 0.5}, TypeError, "score"),
            ({"constraint": 0.5}, TypeError, "constraint"),
            ({"tolerance": -1.0}, ValueError, "tolerance"),
            ({"alphas": ()}, ValueError, "alphas"),
            ({"alphas": 0.5}, TypeError, "alphas"),
        ),
    ),
    Row(
        kr.editing.rift,
        "function",
        inputs=lambda: {"model": test_rift.untuned()},
        arguments={
            "fit": test_rift.tune,
            "score": test_rift.score,
            "constraint": test_rift.constraint,
            "layers": "head",
            "tolerance": 0.06,
            "alphas": (0.25, 0.5, 0.75, 1.0),
        },
        knob={"tolerance": 0.5},
        reference=test_rift.reference,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"fit": 0.5}, TypeError, "fit"),
            ({"score": 0.5}, TypeError, "score"),
            ({"constraint": 0.5}, TypeError, "constraint"),
            ({"layers": "missing"}, ValueError, "layers"),
            ({"tolerance": -1.0}, ValueError, "tolerance"),
            ({"alphas": ()}, ValueError, "alphas"),
        ),
    ),
]
