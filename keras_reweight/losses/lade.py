"""LADE: logits disentangled from the label distribution of the training data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import check_class_counts
from keras_reweight.core.validation import check_boolean, check_number
from keras_reweight.losses._class_counts import class_labels, cross_entropy, log_prior
from keras_reweight.losses.batch_loss import BatchLoss

_PRIOR_EPSILON = 1e-9
# Far below every logit, and finite.
_ABSENT = -1e30


@keras.saving.register_keras_serializable(package="keras_reweight")
class LADELoss(BatchLoss):
    """Prior-adjusted cross-entropy with an estimate of a density ratio for every class.

    Use it for long-tailed classes when the label distribution of the test data is known or will
    change: after training the logits are those of balanced data, and a prior can be added to them.
    With the shares `pi_c` and `C` classes the regularizer of a batch is
    `R = -sum_c pi_c (mean_{y=c} z_c - LSE_c - lambda LSE_c^2)`, where `LSE_c` is the logarithm of
    the mean over the batch of `exp(z_c) / (C pi_c)`; a class that the batch lacks contributes its
    `LSE_c` terms. The loss is `CE(z + log pi, y) + weight * R`. It needs batches with many classes
    in them; small batches make the estimate rough.

    Args:
        class_counts: List of training samples per class, all positive.
        weight: Float >= 0, factor of the regularizer. Defaults to `0.1`.
        regularization: Float >= 0, `lambda` above. Defaults to `0.1`.
        cross_entropy: Boolean, whether the cross-entropy is part of the loss. Defaults to `True`.
        reduction: `"sum"` multiplies the loss by the sum of the weights; every other reduction of
            Keras gives the loss itself. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"lade_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)` or one-hot labels of shape `(batch, classes)`,
        logits of shape `(batch, classes)` and an optional `sample_weight` of shape `(batch,)`: a
        float scalar.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is out of its range, nothing of the loss is left, or, on a call,
            the shapes do not fit.

    Example:

    ```python
    import numpy as np
    import keras_reweight as kr

    loss = kr.losses.LADELoss([1000, 100, 10])
    value = loss(np.array([0, 2]), np.array([[4.0, 0.5, -1.0], [1.0, 0.5, 0.25]], "float32"))
    ```

    Reference:
        Hong et al., "Disentangling Label Distribution for Long-tailed Visual Recognition",
        CVPR 2021, arXiv 2012.00321, section 3 (PC softmax and LADE).

    Deviations:
        As in the official code, `1e-9` is added to the shares before the logarithm.
    """

    def __init__(
        self,
        class_counts: Sequence[float],
        *,
        weight: float = 0.1,
        regularization: float = 0.1,
        cross_entropy: bool = True,
        reduction: str | None = "sum_over_batch_size",
        name: str = "lade_loss",
        dtype=None,
    ):
        check_class_counts("class_counts", class_counts)
        check_number("weight", weight, minimum=0.0)
        check_number("regularization", regularization, minimum=0.0)
        check_boolean("cross_entropy", cross_entropy)
        if weight == 0.0 and not cross_entropy:
            raise ValueError(
                f"`weight`={weight!r} and `cross_entropy`={cross_entropy!r} leave nothing of the "
                "loss: give a positive `weight` or `cross_entropy=True`."
            )
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.class_counts = class_counts
        self.weight = weight
        self.regularization = regularization
        self.cross_entropy = cross_entropy

    def batch_loss(self, y_true: Any, y_pred: Any, sample_weight: Any):
        if len(y_pred.shape) != 2:
            raise ValueError(
                f"{self.name}: `y_pred` must be of shape (batch, classes), got shape "
                f"{tuple(y_pred.shape)}."
            )
        labels = class_labels(y_true, y_pred, self.class_counts)
        prior = ops.convert_to_tensor(
            log_prior(self.class_counts, epsilon=_PRIOR_EPSILON), dtype=y_pred.dtype
        )
        total = self.weight * self._regularizer(labels, y_pred, sample_weight, prior)
        if self.cross_entropy:
            losses = cross_entropy(labels, y_pred + prior)
            weighted = ops.sum(sample_weight * losses)
            total = total + weighted / _positive(ops.sum(sample_weight))
        return total

    def _regularizer(self, labels, logits, sample_weight, prior):
        weights = ops.expand_dims(sample_weight, axis=-1)
        of_class = weights * labels
        means = ops.sum(of_class * logits, axis=0) / _positive(ops.sum(of_class, axis=0))
        ratios = logits - prior - float(np.log(len(self.class_counts)))
        ratios = ops.where(weights > 0, ratios, ops.full_like(ratios, _ABSENT))
        top = ops.stop_gradient(ops.max(ratios, axis=0, keepdims=True))
        sums = ops.sum(weights * ops.exp(ratios - top), axis=0)
        any_weight = ops.sum(sample_weight) > 0
        sums = ops.where(any_weight, sums, ops.ones_like(sums))
        top = ops.where(any_weight, ops.squeeze(top, axis=0), ops.zeros_like(sums))
        lse = ops.log(sums) + top - ops.log(_positive(ops.sum(sample_weight)))
        estimates = means - lse - self.regularization * ops.square(lse)
        counts = np.asarray(self.class_counts, "float64")
        shares = ops.convert_to_tensor(counts / counts.sum(), dtype=logits.dtype)
        return -ops.sum(shares * estimates)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "class_counts": np.asarray(self.class_counts).tolist(),
            "weight": self.weight,
            "regularization": self.regularization,
            "cross_entropy": self.cross_entropy,
        }


def _positive(total):
    """The divisor, one where nothing is summed."""
    return ops.where(total > 0, total, ops.ones_like(total))
