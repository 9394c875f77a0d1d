"""Weights by the inverse frequency of the class."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.core.validation import check_number
from keras_reweight.functional.class_weights import class_weights
from keras_reweight.weightings._class_weighting import ClassWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class InverseFrequency(ClassWeighting):
    """Weights of samples by the inverse frequency of their class.

    Use it as the plainest remedy for imbalanced classes. A sample of class `y` gets
    `n_y^-power`, scaled so that the weights of the classes have mean one. With `power=1` every
    class has the same total weight, which makes the few samples of a rare class very heavy;
    `power=0.5` or `ClassBalanced` are milder. Labels outside the classes get weight zero.

    Args:
        class_counts: List of samples per class, all positive.
        power: Float >= 0, the exponent. Defaults to `1.0`.
        normalization: `None` for the weights above, or `"mean_one"` to divide those of each batch
            by their mean, as PyTorch's weighted mean does. Defaults to `None`.

    Returns:
        Called with losses of shape `(batch, ...)` and `y_true`, class ids of that shape or one-hot
        labels: float32 weights of the shape of the losses.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range or, on a call, `y_true` does not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.InverseFrequency([5, 2, 1], power=0.5)
    weights = weighting(np.array([0.2, 0.5], "float32"), y_true=np.array([0, 2]))
    ```

    Reference:
        Zhang et al., "Deep Long-Tailed Learning: A Survey", TPAMI 2023, arXiv 2110.04596,
        section 3.1.2 (class-sensitive learning).
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        power: float = 1.0,
        normalization: str | None = None,
    ):
        super().__init__(class_counts, normalization)
        check_number("power", power, minimum=0.0)
        self.power = power

    def class_weights(self) -> np.ndarray:
        return class_weights(self.class_counts, method="inverse_frequency", power=self.power)

    def get_config(self) -> dict:
        return {**super().get_config(), "power": self.power}
