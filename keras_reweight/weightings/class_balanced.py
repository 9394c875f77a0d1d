"""Weights by the effective number of samples of the class."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from keras_reweight.core.validation import check_number
from keras_reweight.functional.class_weights import class_weights
from keras_reweight.weightings._class_weighting import ClassWeighting


@keras.saving.register_keras_serializable(package="keras_reweight")
class ClassBalanced(ClassWeighting):
    """Weights of samples by the effective number of samples of their class.

    Use it for long-tailed classes, from the start or after some epochs of plain training
    (`kr.callbacks.DeferredReweighting`). New samples of a class add less and less, so a class
    counts as `E_c = (1 - beta^n_c) / (1 - beta)` samples; a sample of class `y` gets `1 / E_y`,
    scaled so that the weights of the classes have mean one. `beta=0` gives equal weights, `beta`
    near one the inverse frequency; choose it so that `1 / (1 - beta)` is of the order of the
    larger classes. Labels outside the classes get weight zero.

    Args:
        class_counts: List of samples per class, all positive.
        beta: Float in `[0, 1)`. Defaults to `0.9999`.
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
    import keras
    import numpy as np
    import keras_reweight as kr

    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    weighting = kr.weightings.ClassBalanced(kr.data.class_counts(y), beta=0.9)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.ReweightedLoss(loss, weighting))
    model.fit(np.ones((8, 4)), y, verbose=0)
    ```

    Reference:
        Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019,
        arXiv 1901.05555, section 4.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        beta: float = 0.9999,
        normalization: str | None = None,
    ):
        super().__init__(class_counts, normalization)
        check_number("beta", beta, minimum=0.0, exclusive_maximum=1.0)
        self.beta = beta

    def class_weights(self) -> np.ndarray:
        return class_weights(self.class_counts, method="class_balanced", beta=self.beta)

    def get_config(self) -> dict:
        return {**super().get_config(), "beta": self.beta}
