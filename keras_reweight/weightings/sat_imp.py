"""SatImp weighting of tokens for unlearning."""

from __future__ import annotations

import keras

from keras_reweight.core.schedules import ScheduleLike
from keras_reweight.weightings._likelihood import LikelihoodWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class SatImp(LikelihoodWeighting):
    """Weights for tokens that are still likely, but not trivially so.

    Use it to forget data by gradient ascent (`Unlearn`) at token granularity: tokens that are
    forgotten already (small `p`) stop being pushed, which keeps the model from falling apart, and
    tokens that any model predicts (`p` near one) matter little. With the cross-entropy `l` of a
    token and `p = exp(-l)`, without gradient, `w = p**saturation * (1 - p)**importance`.

    Losses must be cross-entropies of single tokens or samples; otherwise `p` means nothing.

    Args:
        saturation: Float >= 0, schedule or callable of the step, exponent of `p`.
            Defaults to `5.0`.
        importance: Float >= 0, schedule or callable of the step, exponent of `1 - p`.
            Defaults to `0.1`.

    Returns:
        Called with losses of shape `(batch,)` or `(batch, time)`: float32 weights of that shape,
        each in `[0, 1]`, not normalized.

    Raises:
        TypeError: If an argument is neither a number nor a callable.
        ValueError: If an argument is negative; on a call, if one follows a schedule and no `step`
            is given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.SatImp(5.0, 0.1)(np.array([[0.05, 0.3], [1.0, 3.0]], "float32"))
    ```

    Reference:
        Yang et al., "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", ICML 2025,
        arXiv 2505.11953.

    Deviations:
        The defaults are those of the authors' repository; open-unlearning uses `importance=1`.

    Cost:
        A few operations on the losses; no extra passes, no state.
    """

    exponents = ("saturation", "importance")

    def __init__(self, saturation: ScheduleLike = 5.0, importance: ScheduleLike = 0.1):
        super().__init__(saturation=saturation, importance=importance)

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return self.likely_power(losses, "saturation", step) * self.unlikely_power(
            losses, "importance", step
        )
