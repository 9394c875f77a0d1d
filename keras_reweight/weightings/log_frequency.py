"""Weights by the logarithm of the frequency of the class."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.functional.class_weights import class_weights
from keras_reweight.weightings._class_weighting import ClassWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class LogFrequency(ClassWeighting):
    """Weights of samples that grow with the logarithm of how rare their class is.

    Use it as the mildest weighting of imbalanced classes: nothing to tune, and a class a thousand
    times rarer than the most frequent one weighs eight times as much. A sample of class `y` gets
    `1 - log(n_y / n_max)`. Labels outside the classes get weight zero.

    Args:
        class_counts: List of samples per class, all positive.
        normalization: `None` for the weights above, or `"mean_one"` to divide those of each batch
            by their mean, as PyTorch's weighted mean does. Defaults to `"mean_one"`.

    Returns:
        Called with losses of shape `(batch, ...)` and `y_true`, class ids of that shape or one-hot
        labels: float32 weights of the shape of the losses.

    Raises:
        TypeError: If `class_counts` is no list of numbers.
        ValueError: If an argument is out of its range or, on a call, `y_true` does not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    weighting = kr.weightings.LogFrequency([1000, 100, 10])
    weights = weighting(np.array([0.2, 0.5], "float32"), y_true=np.array([0, 2]))
    ```

    Reference:
        Zhang et al., "Deep Long-Tailed Learning: A Survey", TPAMI 2023, arXiv 2110.04596
        (weighted softmax of its code).
    """

    def __init__(self, class_counts: Sequence[float], *, normalization: str | None = "mean_one"):
        super().__init__(class_counts, normalization)

    def class_weights(self) -> np.ndarray:
        return class_weights(self.class_counts, method="log_frequency")
