"""Flat minima."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.functional import test_gradient_variance_gap
from tests.reweight.meta import models
from tests.reweight.sharpness import (
    test_gradient_norm,
    test_ignite,
    test_mesa,
    test_nexus,
    test_saf,
    test_sam,
    test_udim,
)


def _after_a_step(trainer):
    return test_sam.after_a_step(trainer.rule, trainer.model)


ROWS = [
    Row(kr.sharpness.SharpnessRule, "base"),
    Row(
        kr.sharpness.SharpnessAware,
        "object",
        arguments=lambda: {"model": models.linear(), "rule": kr.sharpness.SAM(0.2)},
        outcome=_after_a_step,
        reference=lambda: test_sam.reference_step(0.2),
        knob=lambda: {"rule": kr.sharpness.SAM(0.4)},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"rule": "sam"}, TypeError, "rule"),
        ),
    ),
    Row(
        kr.sharpness.SAM,
        "object",
        arguments={"rho": 0.5, "adaptive": True, "eta": 0.05},
        outcome=test_sam.after_a_step,
        reference=test_sam.reference_step,
        knob={"adaptive": False},
        bad_arguments=(
            ({"rho": 0.0}, ValueError, "rho"),
            ({"rho": None}, TypeError, "rho"),
            ({"adaptive": 1}, TypeError, "adaptive"),
            ({"eta": -0.1}, ValueError, "eta"),
        ),
    ),
    Row(
        kr.sharpness.GradientNorm,
        "object",
        arguments={"penalty": 0.05, "radius": 0.2},
        outcome=test_sam.after_a_step,
        reference=test_gradient_norm.reference_step,
        knob={"penalty": 0.2},
        bad_arguments=(
            ({"penalty": 0.0}, ValueError, "penalty"),
            ({"penalty": "small"}, TypeError, "penalty"),
            ({"radius": 0.0}, ValueError, "radius"),
        ),
    ),
    Row(
        kr.sharpness.IGNITE,
        "object",
        arguments=lambda: {"model": test_ignite.model(), **test_ignite.ARGUMENTS},
        outcome=test_ignite.after_two_steps,
        reference=test_ignite.reference,
        knob={"rho": 1.0},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"rho": 0.0}, ValueError, "rho"),
            ({"radius": 0.0}, ValueError, "radius"),
            ({"multiplier": -1.0}, ValueError, "multiplier"),
            ({"dual_learning_rate": -1.0}, ValueError, "dual_learning_rate"),
            ({"limit": -1.0}, ValueError, "limit"),
        ),
    ),
    Row(
        kr.sharpness.MESA,
        "object",
        arguments=lambda: {"model": models.linear(), **test_mesa.ARGUMENTS},
        outcome=test_mesa.after_three_steps,
        reference=test_mesa.reference,
        knob={"weight": 0.5},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"weight": -1.0}, ValueError, "weight"),
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"decay": 1.0}, ValueError, "decay"),
            ({"start_epoch": -1}, ValueError, "start_epoch"),
        ),
    ),
    Row(
        kr.sharpness.SAF,
        "object",
        arguments=lambda: {"model": models.linear(), **test_saf.ARGUMENTS},
        outcome=test_saf.train,
        reference=test_saf.reference,
        knob={"delay": 1},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"num_samples": 0}, ValueError, "num_samples"),
            ({"weight": -1.0}, ValueError, "weight"),
            ({"temperature": 0.0}, ValueError, "temperature"),
            ({"delay": 0}, ValueError, "delay"),
            ({"start_epoch": -1}, ValueError, "start_epoch"),
            ({"end_epoch": 1}, ValueError, "end_epoch"),
        ),
    ),
    Row(
        kr.sharpness.UDIM,
        "object",
        arguments=lambda: {
            "model": models.linear(),
            "rule": kr.sharpness.SAM(0.3),
            **test_udim.ARGUMENTS,
        },
        outcome=test_udim.after_a_step,
        reference=test_udim.reference,
        knob={"step": 0.1},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"rule": "sam"}, TypeError, "rule"),
            ({"layer": 3}, TypeError, "layer"),
            ({"layer": "nowhere"}, ValueError, "layer"),
            ({"weight": -1.0}, ValueError, "weight"),
            ({"step": 0.0}, ValueError, "step"),
            ({"start_epoch": -1}, ValueError, "start_epoch"),
        ),
    ),
    Row(
        kr.functional.gradient_variance_gap,
        "function",
        inputs=test_gradient_variance_gap.inputs,
        arguments={"norm_weight": 0.5},
        knob={"norm_weight": 2.0},
        reference=test_gradient_variance_gap.reference,
        jit=True,
        invariants=("nonnegative",),
        bad_arguments=(
            ({"norm_weight": -1.0}, ValueError, "norm_weight"),
            ({"norm_weight": "half"}, TypeError, "norm_weight"),
            ({"errors": np.zeros((5, 3), "float32")}, ValueError, "errors"),
        ),
    ),
    Row(
        kr.sharpness.Nexus,
        "object",
        arguments=lambda: {"model": models.linear(), **test_nexus.ARGUMENTS},
        outcome=test_nexus.after_a_step,
        reference=test_nexus.reference,
        knob={"rescale": False},
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"micro_batches": 1}, ValueError, "micro_batches"),
            ({"inner_rate": 0.0}, ValueError, "inner_rate"),
            ({"rescale": 1}, TypeError, "rescale"),
        ),
    ),
]
