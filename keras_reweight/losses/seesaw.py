"""Seesaw loss for long-tailed classes."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts, labels_like
from keras_reweight.core.stateful_loss import StatefulLoss
from keras_reweight.core.validation import check_integer, check_number


@keras.saving.register_keras_serializable(package="keras_reweight")
class SeesawLoss(StatefulLoss):
    """Cross-entropy that keeps frequent classes from being punished by rare ones, and back.

    Use it for long-tailed classes whose frequencies are not known beforehand. A sample of class
    `y` pushes down the score of class `c` by the factor `S_c = M_c K_c`: mitigation
    `M_c = (N_c / N_y)^p` where class `c` is rarer than `y` (else 1) protects rare classes, and
    compensation `K_c = (s_c / s_y)^q` where the model prefers `c` (else 1) brings the push back
    for samples that are misclassified; `s` is the softmax without gradient. The loss is the
    cross-entropy of `z_c + log S_c`, with `S_y = 1`.

    The counts `N` are `class_counts`, or those of the samples trained on so far, which the
    `LossState` callback keeps; without it they are those of the batch.

    Args:
        class_counts: List of samples per class, all positive, or `None` to count while training.
            Defaults to `None`.
        num_classes: Integer >= 2, number of classes; needed where `class_counts` is `None`.
        mitigation: Float >= 0, the exponent `p`. Defaults to `0.8`.
        compensation: Float >= 0, the exponent `q`. Defaults to `2.0`.
        epsilon: Float in (0, 1), smallest `s_y` in the quotient. Defaults to `1e-2`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"seesaw_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)` and
        logits of shape `(batch, classes)`: the reduced loss.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, `class_counts` and `num_classes` are both
            `None` or do not agree, or, on a call, the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.SeesawLoss(class_counts=[1000, 100, 10])
    value = loss(np.array([0, 2]), np.array([[4.0, 0.5, -1.0], [1.0, 0.5, 0.25]], "float32"))
    ```

    Reference:
        Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021,
        arXiv 2008.10032.

    Deviations:
        The branch for objectness of the detection code is left out. Counts below one count as one.
    """

    def __init__(
        self,
        class_counts: Sequence[float] | None = None,
        *,
        num_classes: int | None = None,
        mitigation: float = 0.8,
        compensation: float = 2.0,
        epsilon: float = 1e-2,
        reduction: str | None = "sum_over_batch_size",
        name: str = "seesaw_loss",
        dtype=None,
    ):
        if num_classes is not None:
            check_integer("num_classes", num_classes, minimum=2)
        if class_counts is not None:
            found = len(check_class_counts("class_counts", class_counts))
            if num_classes not in (None, found):
                raise ValueError(
                    f"`class_counts`={class_counts!r} has {found} classes, but "
                    f"`num_classes`={num_classes!r}."
                )
        elif num_classes is None:
            raise ValueError("`num_classes` must be given where `class_counts` is None, got None.")
        check_number("mitigation", mitigation, minimum=0.0)
        check_number("compensation", compensation, minimum=0.0)
        check_number("epsilon", epsilon, exclusive_minimum=0.0, exclusive_maximum=1.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts
        self.num_classes = num_classes
        self.mitigation = mitigation
        self.compensation = compensation
        self.epsilon = epsilon

    def state_spec(self):
        size = len(self.class_counts) if self.class_counts is not None else self.num_classes
        return {"counts": np.zeros(size, "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        seen = ops.sum(self._labels(y_true, y_pred), axis=0)
        self.memory.assign("counts", self.memory["counts"] + ops.cast(seen, "float32"))

    def _labels(self, y_true, y_pred):
        labels = labels_like(y_true, y_pred)
        name = "num_classes" if self.class_counts is None else "class_counts"
        wanted = self.num_classes if self.class_counts is None else len(self.class_counts)
        if y_pred.shape[-1] != wanted:
            raise ValueError(
                f"`{name}` says {wanted} classes ({getattr(self, name)!r}), but `y_pred` of shape "
                f"{tuple(y_pred.shape)} has {y_pred.shape[-1]} on its last axis."
            )
        return labels

    def _counts(self, labels):
        if self.class_counts is not None:
            counts = ops.convert_to_tensor(np.asarray(self.class_counts), dtype=labels.dtype)
        elif self.memory is not None:
            counts = ops.cast(self.memory["counts"], labels.dtype)
        else:
            counts = ops.sum(labels, axis=0)
        return ops.maximum(counts, 1.0)

    def call(self, y_true, y_pred):
        labels = self._labels(y_true, y_pred)
        log_counts = ops.log(self._counts(labels))
        own = ops.sum(labels * log_counts, axis=-1, keepdims=True)
        mitigation = self.mitigation * ops.minimum(log_counts - own, 0.0)
        scores = ops.stop_gradient(ops.softmax(y_pred, axis=-1))
        target = ops.sum(labels * scores, axis=-1, keepdims=True)
        ratio = scores / ops.maximum(target, self.epsilon)
        compensation = self.compensation * ops.log(ops.maximum(ratio, 1.0))
        adjusted = y_pred + (mitigation + compensation) * (1.0 - labels)
        return -ops.sum(labels * ops.log_softmax(adjusted, axis=-1), axis=-1)

    def get_config(self) -> dict:
        counts = self.class_counts
        return {
            **super().get_config(),
            "class_counts": None if counts is None else np.asarray(counts).tolist(),
            "num_classes": self.num_classes,
            "mitigation": self.mitigation,
            "compensation": self.compensation,
            "epsilon": self.epsilon,
        }
