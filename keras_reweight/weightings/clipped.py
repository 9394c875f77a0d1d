"""Bounds for the weights of another weighting."""

from __future__ import annotations

import keras
from keras import ops

from keras_reweight.core.validation import check_number
from keras_reweight.weightings._wrapper import WeightingWrapper, unit_weights
from keras_reweight.weightings.weighting import Weighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class Clipped(WeightingWrapper):
    """Another weighting with its weights kept between two bounds.

    Use it where single samples get so much weight that training turns noisy (`maximum`), or so
    little that they are never seen (`minimum`).

    Bounds are meant for weights whose uniform value is 1: weights that sum to one are multiplied
    by the size of the batch first, `v_i = min(max(n w_i, minimum), maximum)`. The clipped weights
    are not normalized again, which would move them out of the bounds.

    Args:
        weighting: The `Weighting` inside.
        minimum: Float >= 0. Defaults to `0.0`.
        maximum: Float >= `minimum`, or `None` for no upper bound. Defaults to `None`.

    Returns:
        Called with losses of shape `(batch,)`: float32 weights of shape `(batch,)`, uniform value
        1, entries that are masked or not finite 0.

    Raises:
        TypeError: If `weighting` is no `Weighting` or a bound is not a number.
        ValueError: If `minimum < 0` or `maximum < minimum`; on a call, what `weighting` raises.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.Clipped(kr.weightings.KLDRO(0.5), minimum=0.1, maximum=3.0)
    weights = weighting(np.array([0.2, 0.5, 1.0, 2.0, 4.0], "float32"))
    ```

    Reference:
        Ionides, "Truncated Importance Sampling", Journal of Computational and Graphical Statistics
        17 (2008), for bounded weights.

    Cost:
        Two comparisons besides the weighting inside.
    """

    def __init__(self, weighting: Weighting, *, minimum: float = 0.0, maximum: float | None = None):
        super().__init__(weighting)
        check_number("minimum", minimum, minimum=0.0)
        if maximum is not None:
            check_number("maximum", maximum)
            if maximum < minimum:
                raise ValueError(
                    f"`maximum` must be at least `minimum`={minimum!r}, got {maximum!r}."
                )
        self.minimum = minimum
        self.maximum = maximum
        self.normalization = None

    def weights(self, losses, valid, y_true=None, y_pred=None, step=None):
        found = unit_weights(self.weighting, losses, valid, y_true, y_pred, step)
        found = ops.maximum(found, self.minimum)
        return found if self.maximum is None else ops.minimum(found, self.maximum)

    def get_config(self) -> dict:
        return {**super().get_config(), "minimum": self.minimum, "maximum": self.maximum}
