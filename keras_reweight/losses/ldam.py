"""Label-distribution-aware margins for long-tailed classes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_number
from keras_reweight.losses._class_counts import class_labels, cross_entropy


@keras.saving.register_keras_serializable(package="keras_reweight")
class LDAMLoss(keras.losses.Loss):
    """Cross-entropy that asks for wider margins around rare classes.

    Use it with cosine logits (`kr.layers.NormedDense` as the last layer) on long-tailed classes,
    best together with `kr.callbacks.DeferredReweighting`. Class `c` gets the margin
    `m_c = max_margin * (n_min / n_c)^(1/4)`; the loss is the cross-entropy of `scale * z'`, where
    `z'_y = z_y - m_y` and the other logits stay. With logits of free size the margins mean little.

    A head that multiplies its cosines by `s` itself takes `scale=1` and `max_margin` times `s`: the
    same function. Class weights are those of a weighting, as in
    `ReweightedLoss(LDAMLoss(counts), ClassBalanced(counts, normalization="mean_one"))`.

    Args:
        class_counts: List of training samples per class, all positive.
        max_margin: Float >= 0, margin of the rarest class. Defaults to `0.5`.
        scale: Float > 0, factor of the logits. Defaults to `30.0`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"ldam_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch, ...)` or one-hot labels of shape
        `(batch, ..., classes)` and logits of shape `(batch, ..., classes)`: the reduced loss.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range or, on a call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    model = keras.Sequential([keras.Input((4,)), kr.layers.NormedDense(3)])
    model.compile("adam", kr.losses.LDAMLoss(kr.data.class_counts(y)))
    model.fit(np.random.default_rng(0).normal(size=(8, 4)), y, verbose=0)
    ```

    Reference:
        Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
        NeurIPS 2019, arXiv 1906.07413, equations 12 and 13.

    Deviations:
        The official class has an argument for class weights, averaged as PyTorch does (divided by
        the sum of the weights); here that is a weighting with `normalization="mean_one"`.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ldam_loss",
        dtype=None,
    ):
        check_class_counts("class_counts", class_counts)
        check_number("max_margin", max_margin, minimum=0.0)
        check_number("scale", scale, exclusive_minimum=0.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts
        self.max_margin = max_margin
        self.scale = scale

    @property
    def margins(self) -> np.ndarray:
        """Margin of each class, float64 array of shape `(classes,)`."""
        counts = np.asarray(self.class_counts, "float64")
        return self.max_margin * (counts.min() / counts) ** 0.25

    def call(self, y_true, y_pred):
        labels = class_labels(y_true, y_pred, self.class_counts)
        margins = ops.convert_to_tensor(self.margins, dtype=y_pred.dtype)
        return cross_entropy(labels, self.scale * (y_pred - labels * margins))

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "class_counts": np.asarray(self.class_counts).tolist(),
            "max_margin": self.max_margin,
            "scale": self.scale,
        }
