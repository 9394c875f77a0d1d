"""Simple negative preference optimization as weights of sequences."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class SimNPO(Weighting):
    """Weights of sequences with which gradient ascent is SimNPO, without a reference model.

    Use it in `Unlearn(SimNPO(), granularity="sample")` to forget and retain in one batch under the
    compiled loss; `SimNPOLoss` is the loss itself. The gradient of
    `-(2 / beta) log sigmoid(beta (l - delta))` with respect to the mean token loss `l` of a
    sequence is minus `w = 2 sigmoid(-beta (l - delta))`: weights fade as the loss grows, whatever
    the length of the sequence.

    Args:
        beta: Float > 0, how fast the weights fade. Defaults to `2.5`.
        delta: Float, mean token loss that counts as half forgotten. Defaults to `0.0`.

    Returns:
        Called with mean token losses of shape `(batch,)`: float32 weights of shape `(batch,)` in
        `[0, 2]`, not normalized.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `beta` is not positive or `delta` not finite.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weights = kr.weightings.SimNPO(2.5)(np.array([0.5, 1.0], "float32"))
    ```

    Reference:
        Fan et al., "Simplicity Prevails: Rethinking Negative Preference Optimization for LLM
        Unlearning", NeurIPS 2025, arXiv 2410.07163.

    Deviations:
        The defaults are those of the SimNPO repository; open-unlearning uses `beta=4.5`.

    Cost:
        One sigmoid per sequence; no extra passes, no state.
    """

    def __init__(self, beta: float = 2.5, delta: float = 0.0):
        check_number("beta", beta, exclusive_minimum=0.0)
        check_number("delta", delta)
        self.beta = beta
        self.delta = delta

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        return 2.0 * ops.sigmoid(-self.beta * (losses - self.delta))

    def get_config(self) -> dict:
        return {"beta": self.beta, "delta": self.delta}
