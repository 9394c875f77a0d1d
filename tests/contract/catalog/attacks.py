"""Attacks on inputs."""

from __future__ import annotations

import numpy as np

import keras_reweight as kr
from keras_reweight.core.testing import Row
from tests.reweight.attacks import linear, references, test_embedding_attack, test_transfer_attack


def _attack_inputs():
    return {"x": linear.X, "y": linear.Y}


def attacked(attack, x, y):
    """What a linear softmax model is led to."""
    return attack(linear.model(), x, y, batch_size=3)


_BALL = kr.attacks.Ball(0.2, clip=(-1.0, 1.0))


def _reference_worst(x, y):
    """Of no attack and two, what leaves the label furthest behind."""
    found = [x, *(linear.reference_pgd(x, y, _BALL, size, 1, "margin") for size in (0.2, 0.1))]
    margins = [linear.reference_margins(y, linear.logits(one)) for one in found]
    return np.stack(found)[np.argmax(margins, axis=0), np.arange(len(y))]


def _embedded(attack):
    return attack(
        test_embedding_attack.model(), test_embedding_attack.TOKENS, test_embedding_attack.Y
    )


ROWS = [
    Row(kr.attacks.Attack, "base"),
    Row(kr.attacks.Attacked, "record"),
    Row(
        kr.attacks.Ball,
        "object",
        arguments={"epsilon": 0.5, "norm": "l2", "clip": (-1.0, 1.0)},
        inputs=lambda: {"moved": linear.MOVED, "x": linear.X},
        outcome=lambda ball, moved, x: ball.project(moved, x),
        reference=linear.reference_project,
        knob={"norm": "linf"},
        bad_arguments=(
            ({"epsilon": -0.1}, ValueError, "epsilon"),
            ({"epsilon": "big"}, TypeError, "epsilon"),
            ({"norm": "l1"}, ValueError, "norm"),
            ({"clip": (1.0, 0.0)}, ValueError, "clip"),
            ({"clip": 1.0}, ValueError, "clip"),
        ),
    ),
    Row(
        kr.attacks.AttackLoss,
        "object",
        arguments={"kind": "margin", "from_logits": True, "targeted": True},
        inputs=lambda: {"y_true": linear.Y, "y_pred": linear.SCORES},
        outcome=lambda loss, y_true, y_pred: loss(y_true, y_pred, y_pred[::-1].copy()),
        reference=lambda y_true, y_pred: -linear.reference_margins(y_true, y_pred),
        knob={"targeted": False},
        bad_arguments=(
            ({"kind": "hinge"}, ValueError, "kind"),
            ({"from_logits": 1}, TypeError, "from_logits"),
            ({"targeted": "no"}, TypeError, "targeted"),
            ({"kind": "kl"}, ValueError, "targeted"),
            ({"kind": "margin_shift"}, ValueError, "targeted"),
            ({"kind": "dlr"}, ValueError, "targeted"),
        ),
    ),
    Row(
        kr.attacks.PGD,
        "object",
        arguments={
            "ball": kr.attacks.Ball(0.2, clip=(-1.0, 1.0)),
            "step_size": 0.07,
            "steps": 3,
            "loss": "margin",
            "start": "none",
            "restarts": 1,
            "seed": 3,
        },
        inputs=_attack_inputs,
        outcome=attacked,
        reference=linear.reference_pgd,
        knob={"ball": 0.1},
        bad_arguments=(
            ({"ball": "wide"}, TypeError, "ball"),
            ({"step_size": 0.0}, ValueError, "step_size"),
            ({"steps": 0}, ValueError, "steps"),
            ({"loss": "hinge"}, ValueError, "loss"),
            ({"start": "corner"}, ValueError, "start"),
            ({"restarts": 0}, ValueError, "restarts"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.attacks.FGSM,
        "object",
        arguments={
            "ball": _BALL,
            "step_size": 0.15,
            "loss": "margin",
            "start": "none",
            "seed": 1,
        },
        inputs=_attack_inputs,
        outcome=attacked,
        reference=lambda x, y: linear.reference_pgd(x, y, _BALL, 0.15, 1, "margin"),
        knob={"step_size": 0.1},
        bad_arguments=(
            ({"ball": "wide"}, TypeError, "ball"),
            ({"step_size": -1.0}, ValueError, "step_size"),
            ({"loss": "hinge"}, ValueError, "loss"),
            ({"start": "corner"}, ValueError, "start"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.attacks.FriendlyPGD,
        "object",
        arguments={
            "ball": kr.attacks.Ball(0.6, clip=None),
            "step_size": 0.1,
            "steps": 5,
            "tau": 1,
            "start": "none",
            "seed": 2,
        },
        inputs=_attack_inputs,
        outcome=attacked,
        reference=references.reference_friendly,
        knob={"tau": 4},
        bad_arguments=(
            ({"ball": "wide"}, TypeError, "ball"),
            ({"step_size": 0.0}, ValueError, "step_size"),
            ({"steps": 0}, ValueError, "steps"),
            ({"tau": -1}, ValueError, "tau"),
            ({"loss": "hinge"}, ValueError, "loss"),
            ({"start": "corner"}, ValueError, "start"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.attacks.APGD,
        "object",
        arguments={
            "ball": _BALL,
            "steps": 21,
            "loss": "margin",
            "start": "none",
            "restarts": 1,
            "rho": 0.6,
            "seed": 3,
        },
        inputs=_attack_inputs,
        outcome=attacked,
        reference=references.reference_apgd,
        knob={"ball": 0.1},
        bad_arguments=(
            ({"ball": "wide"}, TypeError, "ball"),
            ({"steps": 0}, ValueError, "steps"),
            ({"loss": "hinge"}, ValueError, "loss"),
            ({"start": "corner"}, ValueError, "start"),
            ({"restarts": 0}, ValueError, "restarts"),
            ({"rho": 1.0}, ValueError, "rho"),
            ({"seed": -1}, ValueError, "seed"),
        ),
    ),
    Row(
        kr.attacks.WorstOf,
        "object",
        arguments={
            "attacks": [
                kr.attacks.FGSM(_BALL, loss="margin"),
                kr.attacks.FGSM(_BALL, loss="margin", step_size=0.1),
            ],
            "loss": "margin",
        },
        inputs=_attack_inputs,
        outcome=attacked,
        reference=_reference_worst,
        knob={"attacks": [kr.attacks.FGSM(0.1)]},
        bad_arguments=(
            ({"attacks": ["fgsm"]}, TypeError, "attacks"),
            ({"attacks": []}, ValueError, "attacks"),
            ({"loss": "hinge"}, ValueError, "loss"),
        ),
    ),
    Row(
        kr.attacks.TransferAttack,
        "object",
        arguments=lambda: {
            "attack": kr.attacks.FGSM(_BALL),
            "source_model": linear.model(),
        },
        inputs=_attack_inputs,
        outcome=lambda attack, x, y: attack(test_transfer_attack.other(), x, y),
        reference=lambda x, y: linear.reference_pgd(x, y, _BALL, 0.2, 1, "crossentropy"),
        knob=lambda: {"source_model": test_transfer_attack.other()},
        bad_arguments=(
            ({"attack": "fgsm"}, TypeError, "attack"),
            ({"source_model": "model"}, TypeError, "source_model"),
        ),
    ),
    Row(
        kr.attacks.EmbeddingAttack,
        "object",
        arguments={
            "attack": kr.attacks.FGSM(kr.attacks.Ball(0.4, norm="l2", clip=None)),
            "layer": "words",
        },
        outcome=_embedded,
        reference=lambda: test_embedding_attack.reference(
            test_embedding_attack.TOKENS, test_embedding_attack.Y, 0.4
        ),
        knob={"attack": kr.attacks.FGSM(kr.attacks.Ball(0.2, clip=None))},
        bad_arguments=(
            ({"attack": "fgsm"}, TypeError, "attack"),
            ({"layer": "nowhere"}, ValueError, "layer"),
        ),
    ),
]
