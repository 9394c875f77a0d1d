"""Log-likelihoods of tokens, without one-hot arrays of the size of the vocabulary."""

from __future__ import annotations

from typing import Any

from keras import ops

from keras_reweight.core.labels import check_label_shapes


def token_log_prob(logits: Any, tokens: Any, ignore_id: int | None = None):
    """Log-probability of each token and which tokens count.

    Args:
        logits: Float tensor of shape `(..., classes)`.
        tokens: Ids of shape `(...)`, any dtype, aligned with the logits that predict them.
        ignore_id: One more id that does not count, besides those outside `[0, classes)`.

    Returns:
        Log-probabilities, zero where a token does not count, and booleans, both of shape `(...)`.
    """
    logits = ops.convert_to_tensor(logits)
    tokens = ops.cast(ops.convert_to_tensor(tokens), "int32")
    check_label_shapes(tokens, logits)
    if len(tokens.shape) == len(logits.shape):
        raise ValueError(
            f"`tokens` must hold one id per row of logits, shape {tuple(logits.shape[:-1])}, got "
            f"shape {tuple(tokens.shape)}."
        )
    valid = ops.logical_and(tokens >= 0, tokens < logits.shape[-1])
    if ignore_id is not None:
        valid = ops.logical_and(valid, tokens != ignore_id)
    inside = ops.expand_dims(ops.where(valid, tokens, ops.zeros_like(tokens)), axis=-1)
    chosen = ops.take_along_axis(ops.log_softmax(logits, axis=-1), inside, axis=-1)
    chosen = ops.squeeze(chosen, axis=-1)
    return ops.where(valid, chosen, ops.zeros_like(chosen)), valid


def sequence_sums(log_probs: Any, valid: Any, mask: Any = None):
    """Sum of log-probabilities and number of tokens for each sequence, shape `(batch,)`."""
    if mask is not None:
        mask = ops.cast(ops.convert_to_tensor(mask), "bool")
        if len(mask.shape) == 1:
            mask = ops.expand_dims(mask, axis=-1)
        valid = ops.logical_and(valid, mask)
    log_probs = ops.where(valid, log_probs, ops.zeros_like(log_probs))
    return ops.sum(log_probs, axis=-1), ops.sum(ops.cast(valid, log_probs.dtype), axis=-1)
