"""Learn which of its two neighbors on the grid each weight goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

#: The sigmoid is stretched to `(GAMMA, ZETA)` and cut to [0, 1], so that it reaches both ends.
ZETA, GAMMA = 1.1, -0.1
_BETA_FIRST, _BETA_LAST, _WARM_UP = 20.0, 2.0, 0.2
_MOMENTUM, _SQUARES, _EPSILON = 0.9, 0.999, 1e-8


class Annealing(NamedTuple):
    """How long, how fast, and how hard the choices are driven to 0 and 1."""

    steps: int
    learning_rate: float
    regularization: float


def soft_choice(latent: np.ndarray) -> np.ndarray:
    """`h(v) = limit(sigmoid(v) (zeta - gamma) + gamma, 0, 1)`."""
    return np.clip(_sigmoid(latent) * (ZETA - GAMMA) + GAMMA, 0.0, 1.0)


def latent_of(share: np.ndarray) -> np.ndarray:
    """The `v` with `h(v) = share`, for shares from 0 to 1."""
    inside = (share - GAMMA) / (ZETA - GAMMA)
    return np.log(inside) - np.log1p(-inside)


def learn_choices(
    share: np.ndarray,
    slope: Callable[[np.ndarray], np.ndarray],
    factor: np.ndarray,
    annealing: Annealing,
) -> np.ndarray:
    """Soft choices `h` near 0 and 1, from the shares `(rows, outputs)` to start with.

    Args:
        share: Where each weight lies between its neighbors, 0 to 1.
        slope: From `h` to the gradient of the loss with respect to the values.
        factor: How far the value moves with `h`; weights where it is 0 keep their choice.
        annealing: Steps, learning rate and weight of the regularizer.
    """
    free = factor != 0.0
    latent = np.where(free, latent_of(share), np.where(share < 0.5, -10.0, 10.0)).astype("float32")
    first, second = np.zeros_like(latent), np.zeros_like(latent)
    pull = annealing.regularization / share.size
    for step in range(annealing.steps):
        sigmoid = _sigmoid(latent)
        stretched = sigmoid * (ZETA - GAMMA) + GAMMA
        choice = np.clip(stretched, 0.0, 1.0)
        gradient = slope(choice) * factor
        beta = beta_at(step, annealing.steps)
        if beta is not None:
            away = 2.0 * choice - 1.0
            gradient = gradient - pull * 2.0 * beta * np.sign(away) * np.abs(away) ** (beta - 1.0)
        inside = free & (stretched > 0.0) & (stretched < 1.0)
        gradient = np.where(inside, gradient * (ZETA - GAMMA) * sigmoid * (1.0 - sigmoid), 0.0)
        first = _MOMENTUM * first + (1.0 - _MOMENTUM) * gradient
        second = _SQUARES * second + (1.0 - _SQUARES) * np.square(gradient)
        size = np.sqrt(second / (1.0 - _SQUARES ** (step + 1))) + _EPSILON
        rate = annealing.learning_rate / (1.0 - _MOMENTUM ** (step + 1))
        latent = (latent - rate * first / size).astype("float32")
    return soft_choice(latent)


def beta_at(step: int, steps: int) -> float | None:
    """The exponent of `1 - |2h - 1|**beta`, from 20 down to 2; `None` during warm-up."""
    begin = _WARM_UP * steps
    if step < begin:
        return None
    progress = (step - begin) / (steps - begin)
    return _BETA_LAST + 0.5 * (_BETA_FIRST - _BETA_LAST) * (1.0 + np.cos(np.pi * progress))


def _sigmoid(values):
    return 1.0 / (1.0 + np.exp(-values))
