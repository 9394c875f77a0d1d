"""Adversarial training with weights of samples."""

from __future__ import annotations

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.adversarial import (
    models,
    test_evaluate_robust,
    test_free_adversarial_training,
    test_geometry_aware,
    test_smooth_comp_sum,
    test_srat,
)
from tests.reweight.attacks import linear


def step_of(objective):
    """Weights of a linear model after a step on this objective."""
    attack = kr.attacks.PGD(**models.ATTACK)
    trainer = kr.adversarial.AdversarialTraining(linear.model(), attack, objective=objective)
    return models.after_a_step(trainer)


ROWS = [
    Row(kr.adversarial.RobustObjective, "base"),
    Row(kr.adversarial.RobustTerm, "record"),
    Row(kr.adversarial.RobustReport, "record"),
    Row(
        kr.adversarial.evaluate_robust,
        "function",
        inputs=lambda: {
            "model": linear.model(),
            "data": (linear.X, test_evaluate_robust.Y_WITH_AN_ERROR),
            "attacks": {"pgd": test_evaluate_robust.PGD},
        },
        arguments={"batch_size": 4, "check_masking": False, "verbose": False},
        outcome=lambda report: {name: report.correct[name] for name in ("clean", "pgd")},
        knob=lambda: {"attacks": {"pgd": kr.attacks.FGSM(3.0)}},
        reference=test_evaluate_robust.reference,
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"data": (linear.X,)}, ValueError, "data"),
            ({"attacks": {"pgd": 0.1}}, TypeError, "attacks"),
            ({"attacks": []}, ValueError, "attacks"),
            ({"batch_size": 0}, ValueError, "batch_size"),
            ({"check_masking": 1}, TypeError, "check_masking"),
            ({"verbose": "yes"}, TypeError, "verbose"),
        ),
    ),
    Row(
        kr.adversarial.AdversarialTraining,
        "object",
        arguments=lambda: {
            "model": linear.model(),
            "attack": kr.attacks.PGD(**models.ATTACK),
            "objective": kr.adversarial.TRADES(2.0),
            "weighting_reads": "clean",
        },
        outcome=models.after_a_step,
        knob=lambda: {"objective": kr.adversarial.TRADES(4.0)},
        reference=lambda: models.stepped(models.trades_terms(2.0, False)),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"attack": 0.1}, TypeError, "attack"),
            ({"objective": "trades"}, TypeError, "objective"),
            ({"weighting": "kl"}, TypeError, "weighting"),
            ({"weighting_reads": "both"}, ValueError, "weighting_reads"),
        ),
    ),
    Row(
        kr.adversarial.FreeAdversarialTraining,
        "object",
        arguments=lambda: {
            "model": linear.model(),
            "ball": kr.attacks.Ball(**test_free_adversarial_training.BALL),
            "replays": 2,
            "step_size": 0.15,
            "batch_size": 4,
        },
        outcome=test_free_adversarial_training.trained,
        knob={"replays": 3},
        reference=lambda: test_free_adversarial_training.reference(replays=2, step_size=0.15),
        bad_arguments=(
            ({"model": "model"}, TypeError, "model"),
            ({"ball": "linf"}, TypeError, "ball"),
            ({"replays": 0}, ValueError, "replays"),
            ({"replays": 1.5}, TypeError, "replays"),
            ({"step_size": 0.0}, ValueError, "step_size"),
            ({"weighting": "kl"}, TypeError, "weighting"),
            ({"batch_size": 0}, ValueError, "batch_size"),
        ),
    ),
    Row(
        kr.adversarial.Madry,
        "object",
        outcome=step_of,
        reference=lambda: models.stepped(models.madry_terms),
    ),
    Row(
        kr.adversarial.TRADES,
        "object",
        arguments={"beta": 2.0, "weight_clean": True},
        outcome=step_of,
        reference=lambda beta: models.stepped(models.trades_terms(beta, True)),
        knob={"beta": 3.0},
        bad_arguments=(
            ({"beta": -1.0}, ValueError, "beta"),
            ({"from_logits": 1}, TypeError, "from_logits"),
            ({"weight_clean": None}, TypeError, "weight_clean"),
        ),
    ),
    Row(
        kr.adversarial.MART,
        "object",
        arguments={"beta": 3.0},
        outcome=step_of,
        reference=lambda beta: models.stepped(models.mart_terms(beta)),
        knob={"beta": 2.0},
        bad_arguments=(
            ({"beta": "much"}, TypeError, "beta"),
            ({"beta": -1.0}, ValueError, "beta"),
            ({"from_logits": 1}, TypeError, "from_logits"),
        ),
    ),
    Row(
        kr.adversarial.SRAT,
        "object",
        arguments={"strength": 0.7, "temperature": 0.4, "features": "hidden"},
        outcome=test_srat.stepped_weights,
        reference=test_srat.reference,
        knob={"strength": 0.2},
        bad_arguments=(
            ({"base": "madry"}, TypeError, "base"),
            ({"strength": -0.5}, ValueError, "strength"),
            ({"temperature": 0.0}, ValueError, "temperature"),
        ),
    ),
    Row(
        kr.adversarial.SmoothCompSum,
        "object",
        arguments={"tau": 0.5, "rho": 2.0, "nu": 0.7},
        outcome=test_smooth_comp_sum.stepped_weights,
        reference=test_smooth_comp_sum.reference,
        knob={"tau": 1.5},
        bad_arguments=(
            ({"tau": -1.0}, ValueError, "tau"),
            ({"rho": 0.0}, ValueError, "rho"),
            ({"nu": "some"}, TypeError, "nu"),
            ({"from_logits": 1}, TypeError, "from_logits"),
        ),
    ),
    Row(
        kr.adversarial.GeometryAware,
        "object",
        arguments={"steps": 4, "shift": -0.5, "kind": "sigmoid"},
        inputs=lambda: {"counts": test_geometry_aware.COUNTS},
        outcome=lambda weighting, counts: weighting(counts),
        reference=test_geometry_aware.reference,
        knob={"kind": "tanh"},
        bad_arguments=(
            ({"steps": 1}, ValueError, "steps"),
            ({"steps": 2.5}, TypeError, "steps"),
            ({"shift": "none"}, TypeError, "shift"),
            ({"kind": "linear"}, ValueError, "kind"),
        ),
    ),
]
