"""Saturation weighting of tokens for unlearning."""

from __future__ import annotations

import keras

from keras_reweight.core.schedules import ScheduleLike
from keras_reweight.weightings._likelihood import LikelihoodWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Saturation(LikelihoodWeighting):
    """Weights that fade once a token has been forgotten.

    Use it to forget data by gradient ascent (`Unlearn`) where plain ascent would run away: the
    less likely a token, the smaller its push. With the cross-entropy `l` of a token and
    `p = exp(-l)`, without gradient, `w = p**beta`. `beta=1` is weighted gradient ascent (WGA), the
    paper's simple saturation (SimSat) is the same with a larger exponent.

    Losses must be cross-entropies of single tokens or samples; otherwise `p` means nothing.

    Args:
        beta: Float >= 0, schedule or callable of the step; `0` is plain gradient ascent.
            Defaults to `1.0`.

    Returns:
        Called with losses of shape `(batch,)` or `(batch, time)`: float32 weights of that shape,
        each in `[0, 1]`, not normalized.

    Raises:
        TypeError: If `beta` is neither a number nor a callable.
        ValueError: If `beta` is negative; on a call, if it follows a schedule and no `step` is
            given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.Saturation(1.0)(np.array([0.05, 0.3, 1.0, 3.0], "float32"))
    ```

    Reference:
        Yang et al., "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", ICML 2025,
        arXiv 2505.11953 (SimSat); Wang et al., "Rethinking LLM Unlearning Objectives: A Gradient
        Perspective and Go Beyond", ICLR 2025, arXiv 2502.19301 (WGA).

    Cost:
        One exponential per loss; no extra passes, no state.
    """

    exponents = ("beta",)

    def __init__(self, beta: ScheduleLike = 1.0):
        super().__init__(beta=beta)

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return self.likely_power(losses, "beta", step)
