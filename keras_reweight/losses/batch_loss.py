"""Losses that are one function of the whole batch, with weights that weight samples."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.loss_evaluation import keras_mask, loss_arguments


class BatchLoss(keras.losses.Loss):
    """Base of losses that give one number for a batch and weight samples inside it.

    Use it for statistics of a batch (an AUC surrogate, an F-score, a divergence) that are no mean
    over samples. Keras would multiply the scalar of such a loss by the mean of `sample_weight`;
    here the weights and the mask arrive in `batch_loss`, where every mean must be a weighted mean:
    weight zero is as if the sample were absent, equal weights change nothing.

    Args:
        reduction: `"sum"` multiplies the loss by the sum of the weights; every other reduction of
            Keras gives the loss itself. Defaults to `"sum_over_batch_size"`.
        name: String or `None`, name of the loss.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true` and `y_pred` of shape `(batch, ...)` and an optional `sample_weight` of
        shape `(batch,)`: a float scalar.

    Raises:
        ValueError: On a call, if `sample_weight` or the mask has not one entry per sample.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    class WorstSample(kr.losses.BatchLoss):
        def batch_loss(self, y_true, y_pred, sample_weight):
            errors = ops.abs(ops.reshape(y_true - y_pred, (-1,)))
            return ops.max(ops.where(sample_weight > 0, errors, 0.0))

    loss = WorstSample()(np.zeros(3), np.array([1.0, -3.0, 2.0]), np.array([1.0, 0.0, 1.0]))
    ```

    Reference:
        None; the interface all losses of a whole batch share.
    """

    def batch_loss(self, y_true: Any, y_pred: Any, sample_weight: Any):
        """The loss; `sample_weight` has shape `(batch,)`, the dtype of `y_pred`, and is >= 0."""
        raise NotImplementedError(f"{type(self).__name__} must define batch_loss(...).")

    def call(self, y_true, y_pred):
        return self.batch_loss(y_true, y_pred, ops.ones_like(_first_of_each(y_pred)))

    def batch_weights(self, y_pred: Any, sample_weight: Any):
        """`sample_weight` and the mask of `y_pred` as one weight per sample, shape `(batch,)`."""
        ones = ops.ones_like(_first_of_each(y_pred))
        mask = keras_mask(keras.tree.flatten(y_pred)[0])
        weights = ones
        for name, extra in (("sample_weight", sample_weight), ("mask", mask)):
            if extra is not None:
                weights = weights * self._per_sample(name, extra, ones)
        return weights

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            y_true, y_pred = loss_arguments(self, y_true, y_pred)
            weights = self.batch_weights(y_pred, sample_weight)
            value = self.batch_loss(y_true, y_pred, weights)
            return value * ops.sum(weights) if self.reduction == "sum" else value

    def _per_sample(self, name, extra, ones):
        extra = ops.cast(ops.convert_to_tensor(extra), ones.dtype)
        while len(extra.shape) > 1 and extra.shape[-1] == 1:
            extra = ops.squeeze(extra, axis=-1)
        if len(extra.shape) > 1:
            raise ValueError(
                f"{self.name}: `{name}` must have one entry per sample, shape (batch,), got shape "
                f"{tuple(extra.shape)}."
            )
        # A scalar weight becomes one for each sample.
        return extra * ones


def _first_of_each(y_pred):
    first = keras.tree.flatten(y_pred)[0]
    while len(first.shape) > 1:
        first = first[..., 0]
    return first
