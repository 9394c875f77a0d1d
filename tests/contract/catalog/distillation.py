"""Distillation: rankings of a teacher, weighted students, generations of one model."""

from __future__ import annotations

import keras
import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row, tasks
from tests.reweight.distillation import (
    models,
    test_pld_distiller,
    test_self_distill,
    test_weighted_distiller,
)


def _packed():
    teacher = tasks.logits(seed=3)
    return {
        "y_true": kr.losses.PLDLoss.pack_targets(tasks.labels(), teacher),
        "y_pred": tasks.logits(),
    }


def _batch():
    return {"x": models.X, "y": models.Y, "sample_weight": models.WEIGHT}


def _teacher_and_student(**arguments):
    return {"teacher": models.model("teacher"), "student": models.model("student"), **arguments}


_NO_MODELS = (
    ({"teacher": "teacher"}, TypeError, "teacher"),
    ({"student": "student"}, TypeError, "student"),
    ({"student_loss_weight": 1.5}, ValueError, "student_loss_weight"),
)

ROWS = [
    Row(
        kr.losses.PLDLoss,
        "loss",
        arguments={"temperature": 2.0},
        inputs=_packed,
        knob={"temperature": 1.0},
        reference="tests.reweight.losses.test_pld:reference",
        reference_gradient="tests.reweight.losses.test_pld:reference_gradient",
        invariants=("nonnegative", "permutation_equivariant"),
        bad_arguments=(({"temperature": 0.0}, ValueError, "temperature"),),
    ),
    Row(
        kr.distillation.PLDDistiller,
        "object",
        arguments=lambda: _teacher_and_student(temperature=2.0, from_logits=True),
        inputs=_batch,
        knob={"temperature": 1.0},
        outcome=test_pld_distiller.outcome,
        reference=test_pld_distiller.reference,
        bad_arguments=(*_NO_MODELS, ({"temperature": 0.0}, ValueError, "temperature")),
    ),
    Row(
        kr.distillation.WeightedDistiller,
        "object",
        arguments=lambda: _teacher_and_student(
            distillation_losses=[keras.distillation.LogitsDistillation(2.0)],
            distillation_loss_weights=[0.8],
            student_loss_weight=0.3,
        ),
        inputs=_batch,
        knob={"distillation_loss_weights": [0.2]},
        outcome=test_weighted_distiller.outcome,
        reference=test_weighted_distiller.reference,
        bad_arguments=(
            *_NO_MODELS,
            ({"distillation_losses": "mse"}, TypeError, "distillation_losses"),
            ({"distillation_loss_weights": [1.0, 2.0]}, ValueError, "distillation_loss_weights"),
        ),
    ),
    Row(
        kr.functional.optimal_distillation_weight,
        "function",
        inputs=lambda: {
            "y_true": np.random.default_rng(0).normal(size=(6, 2)),
            "label_prediction": np.random.default_rng(1).normal(size=(6, 2)),
            "teacher_prediction": np.random.default_rng(2).normal(size=(6, 2)),
        },
        arguments={"sample_weight": np.linspace(0.2, 2.0, 6), "clip": False},
        knob={"sample_weight": np.linspace(2.0, 0.2, 6)},
        reference="tests.reweight.functional.test_optimal_distillation_weight:reference",
        bad_arguments=(
            ({"teacher_prediction": np.ones(3)}, ValueError, "teacher_prediction"),
            ({"sample_weight": np.full(6, -1.0)}, ValueError, "sample_weight"),
            ({"clip": "yes"}, TypeError, "clip"),
            ({"fallback": float("inf")}, ValueError, "fallback"),
        ),
    ),
    Row(
        kr.distillation.self_distill,
        "function",
        inputs=lambda: {
            "make_model": test_self_distill.make_model,
            "x": test_self_distill.X,
            "y": test_self_distill.Y,
        },
        arguments={
            "steps": 2,
            "weight": "optimal",
            "validation_data": (test_self_distill.X_VAL, test_self_distill.Y_VAL),
            "fit_arguments": {"epochs": 2, "batch_size": 12},
            "verbose": 0,
        },
        knob={"weight": 0.3},
        outcome=test_self_distill.outcome,
        reference=test_self_distill.reference,
        bad_arguments=(
            ({"make_model": 3}, TypeError, "make_model"),
            ({"steps": 0}, ValueError, "steps"),
            ({"weight": 1.5}, ValueError, "weight"),
            ({"weight": "best"}, ValueError, "weight"),
            ({"validation_data": (1, 2, 3, 4)}, TypeError, "validation_data"),
            ({"activation": "no such"}, ValueError, "activation"),
        ),
    ),
]
