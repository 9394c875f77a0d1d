"""Negative preference optimization as weights of sequences."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class NPO(Weighting):
    """Weights of sequences with which gradient ascent is negative preference optimization.

    Use it in `Unlearn(NPO(), granularity="sample", reference_nll=...)` to forget and retain in one
    batch under the compiled loss; `NPOLoss` is the loss itself. The gradient of
    `-(2 / beta) log sigmoid(beta d)` with respect to a sequence's negative log-likelihood is minus
    `w = 2 sigmoid(-beta d)`, where `d` is how far the likelihood has fallen below that of the model
    before unlearning. Weights start at one and fade for what is forgotten.

    Args:
        beta: Float > 0; small values come close to plain gradient ascent. Defaults to `0.1`.

    Returns:
        Called with the rise `d = NLL - NLL_reference` of the summed token losses, shape `(batch,)`:
        float32 weights of shape `(batch,)` in `[0, 2]`, not normalized.

    Raises:
        TypeError: If `beta` is not a number.
        ValueError: If `beta` is not positive.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    nll, reference = np.array([2.0, 6.0], "float32"), np.array([1.0, 2.0], "float32")
    weights = kr.weightings.NPO(0.1)(nll - reference)
    ```

    Reference:
        Zhang et al., "Negative Preference Optimization: From Catastrophic Collapse to Effective
        Unlearning", COLM 2024, arXiv 2404.05868 (loss and its adaptive weights).

    Cost:
        One sigmoid per sequence; no extra passes, no state.
    """

    def __init__(self, beta: float = 0.1):
        check_number("beta", beta, exclusive_minimum=0.0)
        self.beta = beta

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return 2.0 * ops.sigmoid(-self.beta * losses)

    def get_config(self) -> dict:
        return {"beta": self.beta}
