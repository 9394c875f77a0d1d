"""Flat minima of several losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_reweight.core.configured import Configured
from keras_reweight.core.counter_random import normal_like
from keras_reweight.core.validation import check_boolean, check_integer, check_number
from keras_reweight.sharpness._global_norm import SMALLEST, global_norm


@keras.saving.register_keras_serializable(package="keras_reweight")
class SAMO(Configured):
    """Take the gradient of every loss at a bad neighbor of its own, found without its gradient.

    The neighbor of the loss `k` lies `rho` away along `d = (1 - beta) g + beta |g| s_k / |s_k|`
    for the shared weights, normalized for each weight tensor by itself. `g` is the gradient of the
    mean of all losses, one backward pass, and `s_k` is guessed from two evaluations:
    `s_k = (L_k(w + mu z) - L_k(w - mu z)) / (2 mu) z` with a standard normal `z`. What is not
    shared is moved by `rho` along its own gradient. The balancer sees, and weighs, the gradients at
    the neighbors.

    Use it where the flatness of each task matters and a backward pass a task for finding the
    neighbors would be too much; for one loss there is `kr.sharpness.SAM`. Evaluations run in
    inference mode; batch normalization, metrics and random layers count the first pass only.

    Args:
        rho: Float > 0, the radius. Defaults to `0.001`.
        beta: Float in [0, 1], share of the guessed direction; zero is the neighbor of SAM on the
            mean loss. Defaults to `0.5`.
        mu: Float > 0, length of the steps of the evaluations. Defaults to `0.01`.
        adaptive: Boolean, whether distances are relative to the weights. Defaults to `False`.
        seed: Integer >= 0 for `z`, which is the same on every backend. Defaults to `0`.

    Returns:
        An object for the argument `perturb` of `LossBalancing`.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If a number is out of its range.

    Example:

    ```python
    import keras
    import keras_reweight as kr

    inputs = keras.Input((4,))
    features = keras.layers.Dense(8, "relu", name="trunk")(inputs)
    model = keras.Model(inputs, {key: keras.layers.Dense(1, name=key)(features) for key in "ab"})
    trainer = kr.tasks.LossBalancing(
        model, kr.tasks.PCGrad(), shared=["trunk"], perturb=kr.tasks.SAMO(rho=0.01)
    )
    trainer.compile("adam", {"a": "mse", "b": "mse"})
    ```

    Reference:
        Ban, Subramani and Ji, "SAMO: A Lightweight Sharpness-Aware Approach for Multi-Task
        Optimization with Joint Global-Local Perturbation", ICCV 2025, arXiv 2507.07883; repository
        OptMN-Lab/SAMO.

    Deviations:
        The official code divides by `|s_k|` unguarded. `z` is drawn anew in each step and for each
        loss and weight, from a hash of the step.

    Cost:
        `1 + K` forward and backward passes and `2 K` evaluations a step.
    """

    def __init__(
        self,
        rho: float = 1e-3,
        *,
        beta: float = 0.5,
        mu: float = 0.01,
        adaptive: bool = False,
        seed: int = 0,
    ):
        check_number("rho", rho, exclusive_minimum=0.0)
        check_number("beta", beta, minimum=0.0, maximum=1.0)
        check_number("mu", mu, exclusive_minimum=0.0)
        check_boolean("adaptive", adaptive)
        check_integer("seed", seed, minimum=0)
        self.rho = rho
        self.beta = beta
        self.mu = mu
        self.adaptive = adaptive
        self.seed = seed

    def neighbor(
        self,
        loss: Callable[[list, int], Any],
        values: list[Any],
        gradients: Sequence[Any] | Mapping[int, Any],
        shared: list[int],
        step: Any,
        task: int = 0,
    ) -> list[Any]:
        """The weights at which the gradient of a loss is taken.

        `loss(values, task)` evaluates it. `gradients`, a list or a dict by place, holds that of the
        mean of all losses at the places in `shared`, and that of this loss elsewhere; `step` is an
        int32 tensor, `task` the number of the loss.
        """
        directions = {place: gradients[place] for place in shared}
        # Known while tracing: without a share in the direction nothing is evaluated.
        if self.beta > 0.0:
            guessed = self._guessed(loss, values, shared, step, task)
            for place, guess in guessed.items():
                slope = ops.cast(gradients[place], "float32")
                length = global_norm([slope]) / (global_norm([guess]) + SMALLEST)
                directions[place] = (1.0 - self.beta) * slope + self.beta * length * guess
        own = {place: gradients[place] for place in range(len(values)) if place not in directions}
        moved = list(values)
        for group in (directions, own):
            if not group:
                continue
            scales = {place: self._scale(values[place]) for place in group}
            scaled = {place: scales[place] * ops.cast(d, "float32") for place, d in group.items()}
            factor = self.rho / (global_norm(scaled.values()) + SMALLEST)
            for place, direction in scaled.items():
                shift = factor * scales[place] * direction
                moved[place] = values[place] + ops.cast(shift, values[place].dtype)
        return moved

    def _guessed(self, loss, values, shared, step, task):
        noise = {}
        for number, place in enumerate(shared):
            flat = ops.reshape(values[place], (1, -1))
            drawn = normal_like(flat, self.seed, step, stream=task * len(shared) + number)
            noise[place] = ops.reshape(drawn, values[place].shape)
        ends = []
        for sign in (1.0, -1.0):
            shifted = list(values)
            for place, drawn in noise.items():
                shift = ops.cast(sign * self.mu * drawn, values[place].dtype)
                shifted[place] = values[place] + shift
            ends.append(ops.cast(loss(shifted, task), "float32"))
        slope = (ends[0] - ends[1]) / (2.0 * self.mu)
        return {place: slope * drawn for place, drawn in noise.items()}

    def _scale(self, value):
        return ops.abs(ops.cast(value, "float32")) if self.adaptive else 1.0

    def get_config(self) -> dict:
        return {
            "rho": self.rho,
            "beta": self.beta,
            "mu": self.mu,
            "adaptive": self.adaptive,
            "seed": self.seed,
        }
