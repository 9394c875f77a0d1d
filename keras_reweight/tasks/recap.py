"""Weights from how losses improve and fluctuate."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.tasks.task_balancer import TaskBalancer

_SMALLEST = 1e-15


@keras.saving.register_keras_serializable(package="keras_reweight")
class RECAP(TaskBalancer):
    """Losses that stopped improving or fluctuate get larger weights.

    Of the last `2 * window` values of each loss, with the older half `o` and the newer half `n`:
    `c = mean(n) / mean(o)`, `i = std(n) / (mean(n) + mean(o))`, `w = K softmax((c + i) /
    temperature)`; with `alpha`, `alpha c + (1 - alpha) i` in place of the sum. Scales cancel. Ones
    until the window is full. Losses must be positive.

    Args:
        window: Integer >= 1, steps in each half. Defaults to `10`.
        temperature: Float > 0; at 5 weights stay within about a tenth of one. Defaults to `5.0`.
        alpha: Float in `[0, 1]`, or `None` for the sum. Defaults to `None`.

    Returns:
        A balancer for `LossBalancing`; weights sum to the number of losses.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `window` is below one, `temperature` not positive or `alpha` outside
            `[0, 1]`.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.RECAP(window=20, temperature=0.5)
    ```

    Reference:
        Phan et al., "Beyond Reasoning Gains", Findings of ACL 2026, arXiv 2510.21978.

    Deviations:
        The paper divides the weighted sum by `K`, which a learning rate makes up for. Its code has
        two softmaxes and statistics of the whole window; here the formula of the text.

    Cost:
        None; one backward pass.
    """

    def __init__(self, window: int = 10, *, temperature: float = 5.0, alpha: float | None = None):
        check_integer("window", window, minimum=1)
        check_number("temperature", temperature, exclusive_minimum=0.0)
        if alpha is not None:
            check_number("alpha", alpha, minimum=0.0, maximum=1.0)
        self.window = window
        self.temperature = temperature
        self.alpha = alpha

    def initial(self, num_tasks):
        return {
            "history": np.zeros((2 * self.window, num_tasks), "float32"),
            "count": np.zeros((), "float32"),
        }

    def weights(self, statistics, state):
        history = ops.concatenate([state["history"][1:], statistics.losses[None]], axis=0)
        count = ops.minimum(state["count"] + 1.0, 2.0 * self.window)
        old, new = history[: self.window], history[self.window :]
        old_mean, new_mean = ops.mean(old, axis=0), ops.mean(new, axis=0)
        change = new_mean / (old_mean + _SMALLEST)
        unrest = ops.std(new, axis=0) / (new_mean + old_mean + _SMALLEST)
        score = change + unrest
        if self.alpha is not None:
            score = self.alpha * change + (1.0 - self.alpha) * unrest
        full = count >= 2.0 * self.window
        # Before that the quotients are of zeros.
        score = ops.where(full, score, ops.zeros_like(score))
        found = history.shape[1] * ops.softmax(score / self.temperature)
        return found, {"history": history, "count": count}

    def get_config(self) -> dict:
        return {
            "window": self.window,
            "temperature": self.temperature,
            "alpha": self.alpha,
        }
