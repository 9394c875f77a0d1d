"""The Plackett-Luce loss of one ranking of the classes, shared by a loss and a distiller."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.scans import suffix_logsumexp

_FIRST = 1e30


def plackett_luce_losses(ids: Any, teacher: Any, student: Any, temperature: float):
    """One loss per sample, shape `(...)`.

    Args:
        ids: Int32 labels of shape `(...)`; those outside the classes give a loss of zero.
        teacher: Float logits of shape `(..., classes)`, no gradient.
        student: Float logits of shape `(..., classes)`.
        temperature: Float > 0 that divides the logits of the teacher in the weights.
    """
    classes = student.shape[-1]
    teacher = ops.stop_gradient(teacher)
    is_label = ops.expand_dims(ids, axis=-1) == ops.arange(classes, dtype="int32")
    key = ops.where(is_label, ops.full_like(teacher, _FIRST), teacher)
    order = ops.argsort(-key, axis=-1)
    weights = ops.softmax(teacher / temperature, axis=-1)
    # TensorFlow forgets the size of the last axis in `take_along_axis`.
    shape = (*ops.shape(student)[:-1], classes)
    weights = ops.reshape(ops.take_along_axis(weights, order, axis=-1), shape)
    scores = ops.reshape(ops.take_along_axis(student, order, axis=-1), shape)
    losses = ops.sum(weights * (suffix_logsumexp(scores) - scores), axis=-1)
    return ops.where(ops.any(is_label, axis=-1), losses, ops.zeros_like(losses))


def as_logits(outputs: Any, from_logits: bool):
    """Logits in float32, those of probabilities being their logarithms."""
    outputs = ops.cast(outputs, "float32")
    return outputs if from_logits else ops.log(ops.maximum(outputs, 1e-12))
