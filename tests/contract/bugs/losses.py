"""Bugs of losses."""

from __future__ import annotations

import keras
from keras import ops

from tests.contract import toy_rows as toys
from tests.contract.bugs.plant import plant
from tests.contract.toys import (
    ToyBatchLoss,
    ToyLoss,
)


@plant(toys.loss, "value_equals_reference")
class WrongLoss(ToyLoss):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) * 1.0001


@plant(toys.loss, "gradient_equals_reference")
class WrongSlope(ToyLoss):
    def call(self, y_true, y_pred):
        value = super().call(y_true, y_pred)
        return ops.stop_gradient(0.5 * value) + 0.5 * value


@plant(toys.loss, "reduction_and_sample_weight")
class IgnoresSampleWeight(ToyLoss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return super().__call__(y_true, y_pred)


@plant(toys.loss, "reduction_and_sample_weight")
class IgnoresReduction(ToyLoss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        values = self.call(y_true, ops.convert_to_tensor(y_pred))
        if sample_weight is not None:
            values = values * ops.convert_to_tensor(sample_weight)
        return ops.mean(values)


@plant(toys.loss, "one_hot_labels", crashes=True)
class TakesIdsOnly(ToyLoss):
    def call(self, y_true, y_pred):
        losses = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return ops.power(1.0 + losses, self.power)


@plant(toys.loss, "one_hot_labels")
class ReadsOneHotLabelsAsIds(ToyLoss):
    def call(self, y_true, y_pred):
        ids = y_true if len(y_true.shape) == 1 else y_true[:, 0]
        return super().call(ids, y_pred)


@plant(toys.loss, "mask")
class IgnoresTheMask(ToyLoss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return super().__call__(y_true, 1.0 * ops.convert_to_tensor(y_pred), sample_weight)


@plant(toys.loss, "edges")
class Overflows(ToyLoss):
    def call(self, y_true, y_pred):
        huge = ops.exp(2.0 * ops.square(y_pred))
        return super().call(y_true, y_pred) + 0.0 * ops.log(ops.mean(huge, axis=-1))


@plant(toys.loss, "half_precision")
class ComputesInHalfPrecision(ToyLoss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = super().__call__(y_true, y_pred, sample_weight)
        half = keras.backend.standardize_dtype(getattr(y_pred, "dtype", "float32"))
        return ops.cast(loss, half)


@plant(toys.batch_loss, "reduction_and_sample_weight")
class MultipliesByTheMeanWeight(ToyBatchLoss):
    # What Keras does with one number and a weight per sample.
    def __call__(self, y_true, y_pred, sample_weight=None):
        return keras.losses.Loss.__call__(self, y_true, y_pred, sample_weight)


@plant(toys.batch_loss, "mask")
class ScalesAMaskedBatch(ToyBatchLoss):
    def __call__(self, y_true, y_pred, sample_weight=None):
        return keras.losses.Loss.__call__(self, y_true, y_pred, sample_weight)


@plant(toys.batch_loss, "reduction_and_sample_weight")
class IgnoresWeightsOfTheBatch(ToyBatchLoss):
    def batch_loss(self, y_true, y_pred, sample_weight):
        return super().batch_loss(y_true, y_pred, ops.ones_like(sample_weight))


@plant(toys.batch_loss, "reduction_and_sample_weight")
class WeightsTheSum(ToyBatchLoss):
    # Equal weights change the result: the mean is divided by the number of samples.
    def batch_loss(self, y_true, y_pred, sample_weight):
        value = super().batch_loss(y_true, y_pred, sample_weight)
        return value * ops.mean(sample_weight)


@plant(toys.batch_loss, "reduction_and_sample_weight")
class CountsAbsentSamples(ToyBatchLoss):
    # Right for equal weights, wrong where some are zero.
    def batch_loss(self, y_true, y_pred, sample_weight):
        there = ops.sum(ops.cast(sample_weight > 0.0, y_pred.dtype))
        size = ops.sum(ops.ones_like(sample_weight))
        return super().batch_loss(y_true, y_pred, sample_weight) * there / size
