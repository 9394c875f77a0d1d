"""Balls around samples: what an attack may do to them."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_reweight.core.clamp import clamp
from keras_reweight.core.configured import Configured
from keras_reweight.core.counter_random import normal_like, uniform_like
from keras_reweight.core.validation import check_choice, check_number

NORMS = ("linf", "l2")
STARTS = ("none", "uniform", "gaussian")

#: Standard deviation of the start of TRADES and MART.
GAUSSIAN_DEVIATION = 0.001
#: Below it a gradient counts as zero and gives no direction.
_SMALLEST_NORM = 1e-12


@keras.saving.register_keras_serializable(package="keras_reweight")
class Ball(Configured):
    """The inputs within a distance of a sample that are still valid inputs.

    Attacks take one as their first argument; a plain number stands for a ball in the maximum norm
    with values in `[0, 1]`. Use `clip=None` for standardized tables and embeddings, whose values
    have no range.

    Args:
        epsilon: Float >= 0, the radius, in units of the inputs. Defaults to `8 / 255`.
        norm: `"linf"`, each feature moves by at most `epsilon`, or `"l2"`, the sample does.
            Defaults to `"linf"`.
        clip: Pair of floats, the range of valid values, or `None`. Defaults to `(0.0, 1.0)`.

    Returns:
        A ball; `project(moved, x)` gives the point of it next to `moved`, of the shape of `x`.

    Raises:
        TypeError: If `epsilon` is not a number.
        ValueError: If `epsilon` is negative, `norm` is unknown, or `clip` is no range.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    ball = kr.attacks.Ball(3.0, norm="l2", clip=None)
    point = ball.project(np.array([[6.0, 8.0]], "float32"), np.zeros((1, 2), "float32"))
    np.testing.assert_allclose(point, [[1.8, 2.4]], rtol=1e-6)
    ```

    Reference:
        Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018,
        arXiv 1706.06083, section 2.
    """

    def __init__(
        self,
        epsilon: float = 8 / 255,
        *,
        norm: str = "linf",
        clip: tuple[float, float] | None = (0.0, 1.0),
    ):
        check_number("epsilon", epsilon, minimum=0.0)
        check_choice("norm", norm, NORMS)
        _check_clip(clip)
        self.epsilon = epsilon
        self.norm = norm
        self.clip = clip

    def direction(self, gradient: Any) -> Any:
        """The step of length one that follows `gradient`; zero where that is zero."""
        if self.norm == "linf":
            return ops.sign(gradient)
        size = _length(gradient)
        return gradient / ops.where(size > _SMALLEST_NORM, size, ops.ones_like(size))

    def project(self, moved: Any, x: Any) -> Any:
        """The point of the ball around `x`, and of the range of values, next to `moved`."""
        moved, x = ops.convert_to_tensor(moved), ops.convert_to_tensor(x)
        moved = x + self.limit(moved - x)
        return moved if self.clip is None else clamp(moved, *self.clip)

    def limit(self, delta: Any) -> Any:
        """The perturbation of at most the radius next to `delta`; the range is left aside."""
        if self.norm == "linf":
            return clamp(delta, -self.epsilon, self.epsilon)
        size = _length(delta)
        outside = size > self.epsilon
        shrunk = delta * (self.epsilon / ops.where(outside, size, ops.ones_like(size)))
        return ops.where(outside, shrunk, delta)

    def start(self, x: Any, kind: str, seed: int, counter: Any) -> Any:
        """Where an attack begins: the same numbers on every backend."""
        if kind == "none":
            return x
        flat = _rows(x)
        if kind == "gaussian":
            noise = GAUSSIAN_DEVIATION * normal_like(flat, seed, counter)
        elif self.norm == "linf":
            noise = self.epsilon * (2.0 * uniform_like(flat, seed, counter) - 1.0)
        else:
            noise = normal_like(flat, seed, counter)
            # The volume within the radius r grows as r ** features.
            radius = uniform_like(flat[:, :1], seed, counter, stream=1) ** (1.0 / flat.shape[1])
            noise = self.epsilon * radius * (noise / _length(noise))
        return self.project(x + ops.reshape(ops.cast(noise, x.dtype), ops.shape(x)), x)

    def get_config(self) -> dict:
        return {"epsilon": self.epsilon, "norm": self.norm, "clip": self.clip}


def as_ball(ball: Any) -> Ball:
    """The ball that an argument `ball` stands for."""
    if isinstance(ball, Ball):
        return ball
    if isinstance(ball, (int, float)) and not isinstance(ball, bool):
        return Ball(ball)
    raise TypeError(f"`ball` must be a Ball or a number, its radius, got {ball!r}.")


def _check_clip(clip):
    if clip is None:
        return
    if not isinstance(clip, (tuple, list)) or len(clip) != 2:
        raise ValueError(f"`clip` must be a pair (low, high) or None, got {clip!r}.")
    for end in clip:
        check_number("clip", end)
    if clip[0] >= clip[1]:
        raise ValueError(f"`clip` must be a pair with low < high, got {clip!r}.")


def _rows(x):
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


def _length(x):
    """L2 norms of the samples, of a shape that broadcasts against `x`."""
    squares = ops.sum(ops.square(_rows(x)), axis=1)
    return ops.reshape(ops.sqrt(squares), (-1,) + (1,) * (len(x.shape) - 1))
