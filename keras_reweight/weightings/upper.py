"""Upper weighting of samples by their loss."""

from __future__ import annotations

import keras

from keras_reweight.weightings._bounded_loss import BoundedLossWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Upper(BoundedLossWeighting):
    """Weights that grow with the loss over the whole range.

    Use it where the labels are clean and the hardest samples are the ones to learn from. The
    highest loss of a batch gets the highest weight, so outliers do too: `LinUpper` is the choice
    where labels may be wrong.

    The losses of a batch are mapped to positions
    `h = delta * (2 loss - min - max) / (max - min)` in `[-delta, delta]`, shaped to
    `f(h) = (h + delta) / 2`, and a softmax with `temperature` gives
    weights that sum to one. Equal losses get equal weights.

    Args:
        temperature: Float > 0, schedule or callable of the step; large values approach uniform
            weights, small values sharpen them. Defaults to `1.0`.
        delta: Float > 0, half the width of the position range. Defaults to `1.0`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, sum one.

    Raises:
        TypeError: If an argument is not a number (or, for `temperature`, a callable).
        ValueError: If `temperature <= 0` or `delta <= 0`; on a call, if `temperature` follows a
            schedule and no `step` is given.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.Upper(temperature=0.4)
    weights = weighting(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"))
    ```

    Reference:
        Sow et al., "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model
        Pretraining", ICLR 2025, arXiv 2502.06733, GPT-2 code of the authors.

    Deviations:
        One branch of the authors' code gives the name "upper" to what is `LinUpper` here.
        Non-finite losses and masked entries get weight zero.

    Cost:
        A few operations on `(batch,)` values; no extra passes, no state.
    """

    def shape(self, position):
        return 0.5 * (position + self.delta)
