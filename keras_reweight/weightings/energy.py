"""Weights from the energy of a classifier."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_choice
from keras_reweight.weightings._masked import NORMALIZATIONS, normalized
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Energy(Weighting):
    """Weights that are large where a classifier, read as an energy model, is near zero energy.

    Use it in robust training, where samples of very low energy are overconfident and drive
    robust overfitting; with any loss on logits otherwise. Labels are not read.

    With the logits `z`, `E_i = -logsumexp_c(z_ic)` and `w_i = 1 / log(1 + exp(|E_i|))`: at most
    `1 / log(2)`, at `E = 0`. Adding a constant to all logits changes the weights, although it
    changes no softmax; a model trained with cross-entropy sets that constant by its initial values.

    Args:
        normalization: `None` for the weights of the paper, `"mean_one"` or `"sum_one"`. Defaults to
            `None`.

    Returns:
        Called with losses of shape `(batch,)` and logits `y_pred` of shape `(batch, classes)`:
        float32 weights of shape `(batch,)`, normalized as `normalization` says.

    Raises:
        ValueError: If `normalization` is unknown; on a call, if `y_pred` is `None` or has not at
            least two classes.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    logits = np.array([[2.0, 0.0, -1.0], [8.0, 1.0, 0.0]], "float32")
    weights = kr.weightings.Energy()(np.array([0.2, 0.1]), y_pred=logits)
    ```

    Reference:
        Mirza et al., "Shedding More Light on Robust Classifiers under the Lens of Energy-based
        Models", ECCV 2024, arXiv 2407.06315 (the weights of WEAT).

    Deviations:
        The paper weights both terms of TRADES and evaluates the energy of the clean sample; here
        the weights go with any loss, and the energy is that of `y_pred`.

    Cost:
        One `logsumexp` of the logits; no extra passes, no state.
    """

    reads = ("y_pred",)

    def __init__(self, normalization: str | None = None):
        check_choice("normalization", normalization, NORMALIZATIONS)
        self.normalization = normalization

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        logits = ops.cast(ops.convert_to_tensor(y_pred), losses.dtype)
        if len(logits.shape) < 2 or logits.shape[-1] == 1:
            raise ValueError(
                "`y_pred` must hold logits of at least two classes, shape (batch, ..., classes), "
                f"got shape {tuple(logits.shape)}."
            )
        energy = -ops.logsumexp(logits, axis=-1)
        return normalized(1.0 / ops.softplus(ops.abs(energy)), valid, self.normalization)

    def get_config(self) -> dict:
        return {"normalization": self.normalization}
