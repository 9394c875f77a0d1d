"""Signs that a model hides its gradients, so that attacks by gradients fail for no good reason."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_reweight.attacks.attack import Attack
from keras_reweight.attacks.ball import Ball, as_ball
from keras_reweight.attacks.embedding_attack import EmbeddingAttack
from keras_reweight.attacks.fgsm import FGSM
from keras_reweight.attacks.transfer_attack import TransferAttack

#: Differences of accuracy up to this are chance.
_TOLERANCE = 0.02
#: What may be left where the ball holds every input.
_NEARLY_NOTHING = 0.05
_RESTARTS = 5
#: The radius that stands for "any input" where values have no range, in radii of the ball.
_WIDE = 100.0

Measure = Callable[[Attack], float]


def signs_among(attacks: Mapping[str, Attack], correct: Mapping[str, np.ndarray]) -> list[str]:
    """What accuracies of given attacks say: no weaker kind of attack within a ball may win."""
    found = []
    for kind, name, beaten in _weaker(attacks):
        right = float(np.mean(correct[name]))
        strongest = min(beaten, key=lambda other: np.mean(correct[other]))
        least = float(np.mean(correct[strongest]))
        if _differ(least, right, len(correct[name])):
            found.append(
                f"{kind} {name!r} leaves {right:.1%}, less than {strongest!r}, which follows the "
                f"gradients of the model and leaves {least:.1%}: they lead astray."
            )
    return found


def signs_of(
    name: str, attack: Attack, right: float, num_samples: int, features: int, measure: Measure
) -> list[str]:
    """What further attacks on some samples say; `measure(attack)` runs one."""
    inner = _inner(attack)
    found = []
    if not isinstance(inner, FGSM):
        once = measure(_within(attack, FGSM(inner.ball, loss=inner.loss)))
        if _differ(right, once, num_samples):
            found.append(f"one step leaves {once:.1%}, less than {name!r}, {right:.1%}.")
    if hasattr(inner, "restarts"):
        several = _changed(attack, restarts=_RESTARTS * inner.restarts, start="uniform")
        more = measure(several)
        if _differ(right, more, num_samples):
            found.append(
                f"{_RESTARTS * inner.restarts} random restarts leave {more:.1%}, less than "
                f"{name!r} as it is, {right:.1%}: it is too weak, or led astray. Take more steps "
                "or restarts, or loss='dlr'."
            )
    widest = _everything(as_ball(inner.ball), features)
    changes: dict[str, Any] = {"ball": widest}
    if hasattr(inner, "step_size"):
        changes["step_size"] = None
    wide = measure(_changed(attack, **changes))
    if wide > max(_NEARLY_NOTHING, 1.5 / num_samples):
        found.append(
            f"{name!r} leaves {wide:.1%} in a ball that holds every input (epsilon="
            f"{widest.epsilon:g}), where nothing should be left: gradients vanish, or the model "
            "hardly looks at its inputs."
        )
    return found


def follows_gradients(attack: Attack) -> bool:
    """Whether further attacks can be made from this one."""
    inner = _inner(attack)
    return hasattr(inner, "ball") and hasattr(inner, "loss") and not _is_transfer(attack)


def _weaker(attacks):
    """`(kind, name, names)`: an attack that none of those which follow gradients may lose to."""
    for name, attack in attacks.items():
        transferred, single = _is_transfer(attack), isinstance(_inner(attack), FGSM)
        if not transferred and not single:
            continue
        ball = _ball_of(attack)
        rivals = [
            other
            for other, rival in attacks.items()
            if follows_gradients(rival)
            and not isinstance(_inner(rival), FGSM)
            and _ball_of(rival) == ball
            and isinstance(rival, EmbeddingAttack) == isinstance(attack, EmbeddingAttack)
        ]
        if ball is not None and rivals:
            yield ("the transfer attack" if transferred else "one step of"), name, rivals


def _ball_of(attack):
    inner = _inner(attack.attack) if _is_transfer(attack) else _inner(attack)
    return as_ball(inner.ball).get_config() if hasattr(inner, "ball") else None


def _is_transfer(attack):
    return isinstance(attack, TransferAttack)


def _inner(attack):
    return attack.attack if isinstance(attack, EmbeddingAttack) else attack


def _within(attack, inner):
    return EmbeddingAttack(inner, attack.layer) if isinstance(attack, EmbeddingAttack) else inner


def _changed(attack, **changes):
    # Not by the config: losses may be functions.
    twin = copy.copy(_inner(attack))
    for key, value in changes.items():
        setattr(twin, key, value)
    return _within(attack, twin)


def _everything(ball: Ball, features: int) -> Ball:
    """A ball around any input that holds all of them."""
    if ball.clip is None:
        return Ball(_WIDE * ball.epsilon, norm=ball.norm, clip=None)
    width = float(ball.clip[1] - ball.clip[0])
    radius = width if ball.norm == "linf" else width * math.sqrt(features)
    return Ball(radius, norm=ball.norm, clip=ball.clip)


def _differ(strong: float, weak: float, num_samples: int) -> bool:
    """Whether the weak attack leaves less than the strong one, by more than chance."""
    return strong - weak > max(_TOLERANCE, 1.5 / num_samples)
