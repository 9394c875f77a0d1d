"""Flat minima."""

from __future__ import annotations

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.meta import models
from tests.reweight.sharpness import test_gradient_norm, test_ignite, test_mesa, test_sam


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
]
