"""Importance weighting of tokens for unlearning."""

from __future__ import annotations

import keras

from keras_reweight.core.schedules import ScheduleLike
from keras_reweight.weightings._likelihood import LikelihoodWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Importance(LikelihoodWeighting):
    """Weights for tokens that carry what is specific to the data.

    Use it to compare with `SatImp`, or on a retain set: likely tokens (function words) hold little
    of what is to be forgotten, so unlikely ones get the weight. With the cross-entropy `l` of a
    token and `p = exp(-l)`, without gradient, `w = (1 - p)**beta`. Alone it does not stop pushing
    what is forgotten already; `SatImp` multiplies it with `Saturation`.

    Losses must be cross-entropies of single tokens or samples; otherwise `p` means nothing.

    Args:
        beta: Float >= 0, schedule or callable of the step; `0` weights all alike.
            Defaults to `5.0`.

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

    weights = kr.weightings.Importance(5.0)(np.array([0.05, 0.3, 1.0, 3.0], "float32"))
    ```

    Reference:
        Yang et al., "Exploring Criteria of Loss Reweighting to Enhance LLM Unlearning", ICML 2025,
        arXiv 2505.11953 (SimImp).

    Deviations:
        The paper's first importance weights come from annotated tokens; this is its automatic
        stand-in. Annotated weights are plain `sample_weight` of shape `(batch, time)`.

    Cost:
        Two operations per loss; no extra passes, no state.
    """

    exponents = ("beta",)

    def __init__(self, beta: ScheduleLike = 5.0):
        super().__init__(beta=beta)

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return self.unlikely_power(losses, "beta", step)
