"""Weights from the magnitudes of gradients, for differential equations."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.validation import check_choice, check_integer, check_number
from keras_reweight.tasks.task_balancer import TaskBalancer

_SMALLEST = 1e-20


@keras.saving.register_keras_serializable(package="keras_reweight")
class GradientAnnealing(TaskBalancer):
    """Bring the gradients of boundary and data terms to the magnitude of that of the residual.

    For physics-informed networks, whose residual has far larger gradients. The first loss is the
    reference, with weight one. Every `every` steps, for each other loss `i`,

    `hat_i = max |grad L_1| / mean |grad (w_i L_i)|` and `w_i = (1 - alpha) w_i + alpha hat_i`,

    the maximum over all kernels, the mean over kernels of their mean entries.
    `denominator="plain"` leaves `w_i` out of the gradient; it diverges where a term is nearly
    solved.

    Args:
        alpha: Float in `(0, 1]`, share of the new value. Defaults to `0.1`.
        every: Integer >= 1. Defaults to `10`.
        denominator: `"weighted"` or `"plain"`. Defaults to `"weighted"`.
        clip: Pair of floats, range of `hat_i`. Defaults to `(1e-3, 1e4)`.

    Returns:
        A balancer for `LossBalancing`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range or unknown.

    Example:

    ```python
    import keras_reweight as kr

    balancer = kr.tasks.GradientAnnealing(alpha=0.1, every=10)
    ```

    Reference:
        Wang, Teng and Perdikaris, "Understanding and mitigating gradient pathologies in
        physics-informed neural networks", SIAM J. Sci. Comput. 43(5), 2021, arXiv 2001.04536,
        algorithm 1; the weighted denominator is that of its code.

    Cost:
        A backward pass for each loss.
    """

    needs = ("magnitudes",)

    def __init__(
        self,
        alpha: float = 0.1,
        *,
        every: int = 10,
        denominator: str = "weighted",
        clip: tuple[float, float] = (1e-3, 1e4),
    ):
        check_number("alpha", alpha, exclusive_minimum=0.0, maximum=1.0)
        check_integer("every", every, minimum=1)
        check_choice("denominator", denominator, ("weighted", "plain"))
        if not isinstance(clip, (tuple, list)) or len(clip) != 2 or not 0.0 < clip[0] < clip[1]:
            raise ValueError(f"`clip` must be a pair 0 < low < high, got {clip!r}.")
        self.alpha = alpha
        self.every = every
        self.denominator = denominator
        self.clip = clip

    def initial(self, num_tasks):
        return {"weights": np.ones(num_tasks, "float32")}

    def weights(self, statistics, state):
        present = state["weights"]
        mean = ops.mean(statistics.mean, axis=1)
        if self.denominator == "weighted":
            mean = mean * present
        found = ops.max(statistics.largest[0]) / ops.maximum(mean, _SMALLEST)
        moved = (1.0 - self.alpha) * present + self.alpha * ops.clip(found, *self.clip)
        reference = ops.arange(present.shape[0]) == 0
        moved = ops.where(reference, ops.ones_like(moved), moved)
        due = ops.cast(statistics.step, "int32") % self.every == 0
        # What a step finds acts from the next one on, as after the update in the authors' code.
        return present, {"weights": ops.where(due, moved, present)}

    def get_config(self) -> dict:
        return {
            "alpha": self.alpha,
            "every": self.every,
            "denominator": self.denominator,
            "clip": self.clip,
        }
