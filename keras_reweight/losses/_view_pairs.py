"""Stacked embeddings `(batch, views, features)` and the cross-entropy of a row's own candidate."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.metric_learning._pairs import FAR, at_least_float32, only, own_pairs, unit_rows


def views(y_pred: Any, normalize: bool, number: int | None = None):
    """The predictions in float32 or better, of unit length if `normalize`."""
    y_pred = at_least_float32(y_pred)
    shape = tuple(y_pred.shape)
    fits = len(shape) == 3 and (shape[1] is None or shape[1] >= 2 and number in (None, shape[1]))
    if not fits:
        wanted = "two or more" if number is None else number
        raise ValueError(
            f"`y_pred` must hold {wanted} embeddings for each sample, shape (batch, "
            f"{number or 'views'}, features), got shape {shape}."
        )
    return unit_rows(y_pred) if normalize else y_pred


def own_candidate_losses(queries: Any, candidates: Any, kept: Any, temperature: float):
    """`-log softmax` of the first candidate of each query's row among all kept candidates.

    Args:
        queries: Float tensor of shape `(batch, features)`.
        candidates: Float tensor of shape `(batch, candidates, features)`.
        kept: Boolean tensor of shape `(batch, batch)`: whose candidates a query is compared with.
        temperature: Divides the scalar products.

    Returns:
        Float tensor of shape `(batch,)`, not negative; zero where `kept` has no diagonal entry.
    """
    scores = ops.einsum("id,jgd->ijg", queries, candidates) / temperature
    own = ops.logical_and(own_pairs(queries[:, 0]), kept)
    first = ops.sum(only(scores[:, :, 0], own), axis=-1)
    rivals = only(scores, ops.expand_dims(kept, axis=-1), -FAR)
    total = ops.logsumexp(rivals, axis=(1, 2))
    return only(total - first, ops.any(own, axis=-1))
