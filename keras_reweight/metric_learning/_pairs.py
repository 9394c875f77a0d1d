"""Similarities of the rows of a batch, masks of its pairs, and sums over masked scores."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

SIMILARITIES = ("cosine", "dot", "euclidean")
# Finite: an infinite score gives NaN gradients.
FAR = 1e9
_SMALLEST_NORM = 1e-12


def at_least_float32(tensor: Any):
    """Float32, or float64 where it is float64 already: half precision merges near duplicates."""
    tensor = ops.convert_to_tensor(tensor)
    if keras.backend.standardize_dtype(tensor.dtype) == "float64":
        return tensor
    return ops.cast(tensor, "float32")


def unit_rows(embeddings: Any):
    """Rows of Euclidean length one; rows of zeros stay zeros and have finite gradients."""
    norms = ops.sum(ops.square(embeddings), axis=-1, keepdims=True)
    return embeddings * ops.rsqrt(ops.maximum(norms, _SMALLEST_NORM))


def squared_distances(first: Any, second: Any):
    """Squared Euclidean distances of the rows, shape `(rows of first, rows of second)`."""
    # Distances to a common origin near the rows lose fewer digits in the subtraction below.
    center = ops.stop_gradient(ops.mean(second, axis=0, keepdims=True))
    first, second = first - center, second - center
    products = ops.matmul(first, ops.transpose(second))
    squares = ops.sum(ops.square(first), axis=-1, keepdims=True)
    other = ops.sum(ops.square(second), axis=-1)
    return ops.maximum(squares + other - 2.0 * products, 0.0)


def similarity_matrix(embeddings: Any, kind: str):
    """Cosines, scalar products or negative distances of all pairs of rows, at least float32."""
    embeddings = at_least_float32(embeddings)
    if len(embeddings.shape) != 2:
        raise ValueError(
            f"`y_pred` must hold one embedding for each sample, shape (batch, features), got shape "
            f"{tuple(embeddings.shape)}."
        )
    if kind == "euclidean":
        squares = squared_distances(embeddings, embeddings)
        apart = squares > _SMALLEST_NORM
        distances = ops.sqrt(ops.where(apart, squares, ops.ones_like(squares)))
        return -ops.where(apart, distances, ops.zeros_like(squares))
    if kind == "cosine":
        embeddings = unit_rows(embeddings)
    return ops.matmul(embeddings, ops.transpose(embeddings))


def label_ids(labels: Any):
    """Int32 ids of shape `(batch,)` from ids of shape `(batch,)` or `(batch, 1)`, or one-hot."""
    labels = ops.convert_to_tensor(labels)
    if len(labels.shape) == 2:
        one = labels.shape[-1] == 1
        labels = ops.squeeze(labels, axis=-1) if one else ops.argmax(labels, axis=-1)
    if len(labels.shape) != 1:
        raise ValueError(
            "`y_true` must hold one class id for each sample, shape (batch,) or (batch, 1), or "
            f"one-hot labels of shape (batch, classes), got shape {tuple(labels.shape)}."
        )
    return ops.cast(labels, "int32")


def positions(vector: Any):
    """0, 1, 2, ... of the length of a vector, whose length may be unknown while tracing."""
    return ops.cumsum(ops.ones_like(vector, dtype="int32")) - 1


def own_pairs(vector: Any):
    """Boolean identity matrix of the length of a vector."""
    place = positions(vector)
    return ops.equal(ops.expand_dims(place, 1), ops.expand_dims(place, 0))


def valid_pairs(valid: Any):
    """Boolean matrix of the pairs whose two rows are both valid."""
    return ops.logical_and(ops.expand_dims(valid, 1), ops.expand_dims(valid, 0))


def pair_masks(labels: Any, valid: Any):
    """Boolean `(batch, batch)` masks: pairs of one class (no sample with itself), of two."""
    ids = label_ids(labels)
    same = ops.equal(ops.expand_dims(ids, 1), ops.expand_dims(ids, 0))
    both = valid_pairs(valid)
    positives = ops.logical_and(ops.logical_and(same, ops.logical_not(own_pairs(ids))), both)
    return positives, ops.logical_and(ops.logical_not(same), both)


def only(scores: Any, mask: Any, otherwise: float = 0.0):
    """Scores where the mask is true, a constant elsewhere."""
    return ops.where(mask, scores, ops.full_like(scores, otherwise))


def log_one_plus_sum_exp(scores: Any, mask: Any):
    """`log(1 + sum of exp(scores))` over the last axis, of the scores in the mask."""
    masked = only(scores, mask, -FAR)
    zero = ops.zeros_like(masked[..., :1])
    return ops.logsumexp(ops.concatenate([masked, zero], axis=-1), axis=-1)


def log_sum_exp(scores: Any, mask: Any):
    """`log(sum of exp(scores))` over the last axis; hugely negative for an empty mask."""
    return ops.logsumexp(only(scores, mask, -FAR), axis=-1)


def count(mask: Any, dtype: Any):
    """Number of true entries on the last axis, at least one so that it may divide."""
    return ops.maximum(ops.sum(ops.cast(mask, dtype), axis=-1), 1.0)


def mean_over(values: Any, mask: Any):
    """Mean over the last axis of the values in the mask, zero where there are none."""
    return ops.sum(only(values, mask), axis=-1) / count(mask, values.dtype)


def first_largest(scores: Any, mask: Any):
    """Mask of the largest score on the last axis, the first of equal ones."""
    found = ops.cast(ops.argmax(only(scores, mask, -2.0 * FAR), axis=-1), "int32")
    columns = ops.cumsum(ops.ones_like(scores, dtype="int32"), axis=-1) - 1
    return ops.logical_and(ops.equal(ops.expand_dims(found, -1), columns), mask)
