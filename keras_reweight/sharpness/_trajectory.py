"""Agreement of predictions with earlier ones."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.aux_targets import WEIGHT, split_targets, weights_of_targets
from keras_reweight.core.loss_evaluation import keras_mask
from keras_reweight.core.sample_means import expand_to_rank
from keras_reweight.core.step_hooks import multiply_weights


def trajectory_loss(y_past: Any, y_pred: Any, temperature: float) -> Any:
    """`T^2 KL(softmax(past / T) || softmax(present / T))` of every position, float32."""
    past = ops.log_softmax(ops.cast(y_past, "float32") / temperature, axis=-1)
    present = ops.log_softmax(ops.cast(y_pred, "float32") / temperature, axis=-1)
    return temperature**2 * ops.sum(ops.exp(past) * (past - present), axis=-1)


def trajectory_term(y_past: Any, y_pred: Any, temperature: float, sample_weight: Any) -> Any:
    """Mean of the losses over the positions that the mask of `y_pred` leaves, times the weights."""
    losses = trajectory_loss(y_past, y_pred, temperature)
    counts = ops.ones_like(losses)
    mask = keras_mask(y_pred)
    if mask is not None:
        mask = expand_to_rank(ops.cast(mask, "bool"), len(losses.shape))
        counts = counts * ops.cast(mask, "float32")
        # `where`, not multiply: what is masked may be NaN.
        losses = ops.where(counts > 0, losses, ops.zeros_like(losses))
    if sample_weight is not None:
        losses = multiply_weights(sample_weight, losses)
    return ops.sum(losses) / ops.maximum(ops.sum(counts), 1.0)


def packed_weights(y: Any, sample_weight: Any) -> Any:
    """The weights of a batch, those packed beside its targets multiplied in; or `None`."""
    _, aux = split_targets(y)
    sample_weight = weights_of_targets(sample_weight, aux)
    if WEIGHT not in aux:
        return sample_weight
    packed = ops.reshape(ops.cast(aux[WEIGHT], "float32"), (-1,))
    return multiply_weights(sample_weight, packed)
