"""Learn which of its two neighbors on the grid each weight goes to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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
    adam = Adam(annealing.learning_rate)
    pull = annealing.regularization / share.size
    for step in range(annealing.steps):
        sigmoid = _sigmoid(latent)
        stretched = sigmoid * (ZETA - GAMMA) + GAMMA
        choice = np.clip(stretched, 0.0, 1.0)
        gradient = slope(choice) * factor + pull * hardening(choice, beta_at(step, annealing.steps))
        inside = free & (stretched > 0.0) & (stretched < 1.0)
        gradient = np.where(inside, gradient * (ZETA - GAMMA) * sigmoid * (1.0 - sigmoid), 0.0)
        latent = (latent - adam.step(gradient)).astype("float32")
    return soft_choice(latent)


class Adam:
    """The steps of Adam for one array."""

    def __init__(self, learning_rate: float):
        self._rate, self._count = learning_rate, 0
        self._first: Any = 0.0
        self._second: Any = 0.0

    def step(self, gradient: np.ndarray) -> np.ndarray:
        """What to subtract."""
        self._count += 1
        self._first = _MOMENTUM * self._first + (1.0 - _MOMENTUM) * gradient
        self._second = _SQUARES * self._second + (1.0 - _SQUARES) * np.square(gradient)
        size = np.sqrt(self._second / (1.0 - _SQUARES**self._count)) + _EPSILON
        return self._rate / (1.0 - _MOMENTUM**self._count) * self._first / size


def hardening(choice: np.ndarray, beta: float | None) -> Any:
    """The slope of `1 - |2h - 1|**beta` for choices `h`; 0 where `beta` is `None`."""
    if beta is None:
        return 0.0
    away = 2.0 * choice - 1.0
    return -2.0 * beta * np.sign(away) * np.abs(away) ** (beta - 1.0)


def beta_at(step: int, steps: int, warm_up: float = _WARM_UP) -> float | None:
    """The exponent of `1 - |2h - 1|**beta`, from 20 down to 2; `None` during warm-up."""
    begin = warm_up * steps
    if step < begin:
        return None
    progress = (step - begin) / (steps - begin)
    return _BETA_LAST + 0.5 * (_BETA_FIRST - _BETA_LAST) * (1.0 + np.cos(np.pi * progress))


def _sigmoid(values):
    return 1.0 / (1.0 + np.exp(-values))
