"""Balanced softmax for long-tailed classes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.losses._class_counts import class_labels, cross_entropy


@keras.saving.register_keras_serializable(package="keras_reweight")
class BalancedSoftmaxLoss(keras.losses.Loss):
    """Cross-entropy for training on long-tailed classes and testing on balanced ones.

    Use it as the first thing to try where the training set is imbalanced and every class counts
    the same afterwards: no argument but the counts, no second stage. The loss is the cross-entropy
    of `z_c + log n_c`, so the logits `z` themselves become those of balanced data; predict with
    `z` as it is. Not for test data as imbalanced as the training data.

    Args:
        class_counts: List of training samples per class, all positive.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"balanced_softmax_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch, ...)` or one-hot labels of shape
        `(batch, ..., classes)` and logits of shape `(batch, ..., classes)`: the reduced loss.

    Raises:
        TypeError: If `class_counts` is no list of numbers.
        ValueError: If a count is not positive or, on a call, the shapes do not fit.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    y = np.array([0, 0, 0, 0, 0, 1, 1, 2])
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.BalancedSoftmaxLoss(kr.data.class_counts(y)))
    model.fit(np.ones((8, 4), "float32"), y, verbose=0)
    ```

    Reference:
        Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020,
        arXiv 2007.10740, theorem 1.

    Deviations:
        Without the meta sampler. A class without samples is refused: its logit would have no
        influence on the loss; leave the class out or count it as one.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "balanced_softmax_loss",
        dtype=None,
    ):
        check_class_counts("class_counts", class_counts)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts

    def call(self, y_true, y_pred):
        labels = class_labels(y_true, y_pred, self.class_counts)
        counts = np.asarray(self.class_counts, "float64")
        # Shares instead of counts: the same loss, and smaller numbers to add in float32.
        offset = np.log(counts / counts.sum())
        return cross_entropy(labels, y_pred + ops.convert_to_tensor(offset, dtype=y_pred.dtype))

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "class_counts": np.asarray(self.class_counts).tolist()}
