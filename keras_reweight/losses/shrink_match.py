"""ShrinkMatch: semi-supervised learning that uses uncertain samples too."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_reweight.core.labels import labels_like
from keras_reweight.core.loss_evaluation import keras_mask
from keras_reweight.core.stateful_loss import StatefulLoss
from keras_reweight.core.validation import check_number
from keras_reweight.functional.shrink_loss import shrink_loss
from keras_reweight.losses.masked_loss import MaskedLoss
from keras_reweight.metric_learning._pairs import at_least_float32, only


@keras.saving.register_keras_serializable(package="keras_reweight")
class ShrinkMatchLoss(MaskedLoss, StatefulLoss):
    """Labels for labeled samples, consistency of two views for the others.

    Use it to train on a few labels and many unlabeled samples in one batch. The model gives logits
    for a weakly and a strongly augmented view; `y_true` is the class, or a negative id for an
    unlabeled sample. With `p` the probabilities of the weak view, a constant for the gradient:

    - labeled: cross-entropy of the weak view;
    - unlabeled and certain, `max p >= threshold`: cross-entropy of the strong view with `p`;
    - unlabeled and uncertain: `kr.functional.shrink_loss` of the strong view (of the auxiliary
      head, if there is one), times the certainty: a running average of the share of certain
      samples, so that shrinking sets in as the model becomes reliable.

    The `LossState` callback keeps the running average; without it the certainty is that of the
    batch. Each row has a loss of its own, averaged over all rows: `unlabeled_weight` is a factor
    of rows, so for `m` unlabeled rows per labeled one divide the paper's weight by `m`.

    Args:
        threshold: Float in (0, 1), confidence that counts as certain. Defaults to `0.95`.
        unlabeled_weight: Float >= 0, factor of unlabeled rows. Defaults to `1.0`.
        momentum: Float in [0, 1), of the running average. Defaults to `0.999`.
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String, name of the loss. Defaults to `"shrink_match_loss"`.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with class ids of shape `(batch,)`, negative for unlabeled samples, or one-hot labels
        of shape `(batch, classes)`, zeros for unlabeled samples, and logits of shape
        `(batch, 2, classes)` (weak, strong) or `(batch, 3, classes)` (weak, strong, strong by the
        auxiliary head): the reduced loss.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range, or, on a call, for other shapes.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((2, 4)), keras.layers.Dense(3)])
    model.compile("adam", kr.losses.ShrinkMatchLoss(threshold=0.8))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 1, 4)) + 0.1 * rng.normal(size=(12, 2, 4))
    y = np.where(np.arange(12) < 4, np.arange(12) % 3, -1)
    model.fit(x, y, batch_size=12, verbose=0, callbacks=[kr.callbacks.LossState()])
    ```

    Reference:
        Yang et al., "Shrinking Class Space for Enhanced Certainty in Semi-Supervised Learning",
        ICCV 2023, arXiv 2308.06777; LiheYoung/ShrinkMatch.

    Deviations:
        The authors average labeled and unlabeled rows apart and take `p` from a moving average of
        the model. Their CIFAR script starts the running average anew each epoch.
    """

    def __init__(
        self,
        threshold: float = 0.95,
        *,
        unlabeled_weight: float = 1.0,
        momentum: float = 0.999,
        reduction: str | None = "sum_over_batch_size",
        name: str = "shrink_match_loss",
        dtype=None,
    ):
        check_number("threshold", threshold, exclusive_minimum=0.0, exclusive_maximum=1.0)
        check_number("unlabeled_weight", unlabeled_weight, minimum=0.0)
        check_number("momentum", momentum, minimum=0.0, exclusive_maximum=1.0)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.threshold = threshold
        self.unlabeled_weight = unlabeled_weight
        self.momentum = momentum

    def state_spec(self):
        return {"certainty": np.zeros((), "float32"), "updates": np.zeros((), "float32")}

    def advance(self, y_true, y_pred, sample_weight):
        weak, labeled = self._weak(y_true, y_pred)
        unlabeled = ops.logical_not(labeled)
        mask = keras_mask(y_pred)
        if mask is not None:
            unlabeled = ops.logical_and(unlabeled, ops.reshape(ops.cast(mask, "bool"), (-1,)))
        found = ops.cast(self._share_of_certain(weak, unlabeled), "float32")
        certainty, updates = self.memory["certainty"], self.memory["updates"]
        moved = self.momentum * certainty + (1.0 - self.momentum) * found
        some = ops.any(unlabeled)
        moved = ops.where(updates > 0.0, moved, found)
        self.memory.assign("certainty", ops.where(some, moved, certainty))
        self.memory.assign("updates", updates + ops.cast(some, "float32"))

    def _weak(self, y_true, y_pred):
        """Probabilities of the weak view, and which rows have a label."""
        shape = tuple(y_pred.shape)
        if len(shape) != 3 or shape[1] not in (2, 3):
            raise ValueError(
                "`y_pred` must hold the logits of two views, or of two views and an auxiliary head,"
                f" shape (batch, 2 or 3, classes), got shape {shape}."
            )
        labels = labels_like(y_true, y_pred[:, 0])
        weak = ops.softmax(ops.stop_gradient(at_least_float32(y_pred[:, 0])), axis=-1)
        return weak, ops.any(labels > 0, axis=-1)

    def _share_of_certain(self, weak, unlabeled):
        certain = ops.cast(ops.max(weak, axis=-1) >= self.threshold, weak.dtype)
        number = ops.sum(ops.cast(unlabeled, weak.dtype))
        return ops.sum(only(certain, unlabeled)) / ops.maximum(number, 1.0)

    def losses(self, y_true, y_pred, mask):
        weak, labeled = self._weak(y_true, y_pred)
        logits = at_least_float32(y_pred)
        unlabeled = ops.logical_and(mask, ops.logical_not(labeled))
        certainty = self._share_of_certain(weak, unlabeled)
        if self.memory is not None:
            kept = ops.cast(self.memory["certainty"], certainty.dtype)
            certainty = ops.where(self.memory["updates"] > 0.0, kept, certainty)

        labels = labels_like(y_true, logits[:, 0])
        supervised = -ops.sum(labels * ops.log_softmax(logits[:, 0], axis=-1), axis=-1)
        consistent = -ops.sum(weak * ops.log_softmax(logits[:, 1], axis=-1), axis=-1)
        consistent = only(consistent, ops.max(weak, axis=-1) >= self.threshold)
        shrunk = shrink_loss(weak, logits[:, -1], threshold=self.threshold)
        values = self.unlabeled_weight * (consistent + certainty * shrunk)
        return only(ops.where(labeled, supervised, values), mask)

    def get_config(self) -> dict:
        config = super().get_config()
        return {
            **config,
            "threshold": self.threshold,
            "unlabeled_weight": self.unlabeled_weight,
            "momentum": self.momentum,
        }
