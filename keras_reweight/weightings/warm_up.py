"""Uniform weights at the beginning of training."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_integer
from keras_reweight.weightings._wrapper import WeightingWrapper
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class WarmUp(WeightingWrapper):
    """Another weighting after a number of steps with uniform weights.

    Use it because the losses of the first steps say nothing about the samples, and inside other
    wrappers, where only one part of a combination should wait. For a weighting of its own the
    argument `warmup_steps` of the `Reweight` callback does the same.

    `w(step) = uniform` for `step < steps`, else the weights of `weighting`; uniform weights have
    the normalization of that weighting: `1 / n` where its weights sum to one, else 1.

    Args:
        weighting: The `Weighting` inside.
        steps: Integer >= 1, number of training steps with uniform weights.

    Returns:
        Called with losses of shape `(batch,)` and `step`: float32 weights of shape `(batch,)`,
        normalized as those of `weighting`.

    Raises:
        TypeError: If `weighting` is no `Weighting` or `steps` is not an integer.
        ValueError: If `steps < 1`; on a call, if `step` is `None`, and what `weighting` raises.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.WarmUp(kr.weightings.LinUpper(0.4), steps=100)
    weights = weighting(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"), step=3)
    ```

    Reference:
        Sow et al., "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
        Pretraining", ICLR 2025, arXiv 2502.06733 (first steps of the training unweighted).

    Cost:
        One comparison besides the weighting inside, which is computed from the first step on.
    """

    def __init__(self, weighting: Weighting, *, steps: int):
        super().__init__(weighting)
        check_integer("steps", steps, minimum=1)
        self.steps = steps
        self.reads = tuple(dict.fromkeys((*self.reads, "step")))

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        if step is None:
            raise ValueError(
                "WarmUp needs the training step: use this weighting in the `Reweight` callback, or "
                "call it with `step=`."
            )
        found = self.weighting(losses, y_true, y_pred, valid, step)
        return ops.where(
            ops.convert_to_tensor(step) < self.steps, self.uniform(valid, found), found
        )

    def get_config(self) -> dict:
        return {**super().get_config(), "steps": self.steps}
