"""Losses with one value per sample that depends on the other samples of the batch."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_reweight.core.loss_evaluation import keras_mask, loss_arguments, reduce_values


class MaskedLoss(keras.losses.Loss):
    """Base of losses that compare the samples of a batch and must not see masked ones.

    Use it where a sample's loss depends on other samples (pairs, rankings, batch statistics).
    Keras multiplies a mask into the values of a loss after it has computed them; here it arrives in
    `losses`, so that masked samples are no partners either. Reduction and `sample_weight` are those
    of Keras: weights multiply the value of each sample.

    Args:
        reduction: Any reduction of Keras. Defaults to `"sum_over_batch_size"`.
        name: String or `None`, name of the loss.
        dtype: Dtype of the computation. Defaults to `None`: `keras.config.floatx()`.

    Returns:
        Called with `y_true` and `y_pred` of shape `(batch, ...)` and an optional `sample_weight` of
        shape `(batch,)`: the reduced loss, a scalar for every reduction but `"none"`.

    Raises:
        ValueError: If `reduction` is unknown to Keras.

    Example:

    ```python
    import numpy as np
    from keras import ops
    import keras_reweight as kr

    class AboveMean(kr.losses.MaskedLoss):
        def losses(self, y_true, y_pred, mask):
            errors = ops.abs(y_true - y_pred)
            valid = ops.cast(mask, errors.dtype)
            mean = ops.sum(errors * valid) / ops.maximum(ops.sum(valid), 1.0)
            return ops.maximum(errors - mean, 0.0)

    loss = AboveMean()(np.zeros(3), np.array([1.0, -3.0, 2.0]))
    ```

    Reference:
        None; the interface all losses that compare samples share.
    """

    def losses(self, y_true: Any, y_pred: Any, mask: Any):
        """One value per sample, shape `(batch,)`; `mask` is boolean of shape `(batch,)`."""
        raise NotImplementedError(f"{type(self).__name__} must define losses(...).")

    def call(self, y_true, y_pred):
        first = keras.tree.flatten(y_pred)[0]
        mask = keras_mask(first)
        while len(first.shape) > 1:
            first = first[..., 0]
        if mask is None:
            mask = ops.ones_like(first, dtype="bool")
        else:
            mask = ops.cast(mask, "bool")
            while len(mask.shape) > 1 and mask.shape[-1] == 1:
                mask = ops.squeeze(mask, axis=-1)
            if len(mask.shape) > 1:
                raise ValueError(
                    f"{self.name}: the mask of `y_pred` must have one entry per sample, shape "
                    f"(batch,), got shape {tuple(mask.shape)}."
                )
        return self.losses(y_true, y_pred, mask)

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            y_true, y_pred = loss_arguments(self, y_true, y_pred)
            mask = keras_mask(keras.tree.flatten(y_pred)[0])
            return reduce_values(self, self.call(y_true, y_pred), sample_weight, mask)
