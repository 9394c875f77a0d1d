"""Products of query and key kernels, masks of scores, and which attentions can be converted."""

from __future__ import annotations

import functools

import keras
from keras import ops


def head_product(query, key):
    """`query @ key^T` of each head, of kernels `(width, heads, size)`."""
    return ops.einsum("dhi,khi->dhk", ops.cast(query, "float32"), ops.cast(key, "float32"))


def initial_product(shape, dtype=None, *, key_dim):
    width, heads, source = shape
    initialize = keras.initializers.GlorotUniform
    query = initialize()((width, heads, key_dim), dtype=dtype)
    return head_product(query, initialize()((source, heads, key_dim), dtype=dtype))


def merged_mask(scores, query_mask, value_mask, attention_mask, use_causal_mask):
    """Where a query may look, broadcastable to `(batch, heads, queries, keys)`, or `None`."""
    masks = []
    if query_mask is not None:
        masks.append(ops.cast(query_mask, "bool")[:, None, :, None])
    if value_mask is not None:
        masks.append(ops.cast(value_mask, "bool")[:, None, None, :])
    if attention_mask is not None:
        given = ops.cast(attention_mask, "bool")
        masks.append(given if len(given.shape) == 4 else given[:, None])
    if use_causal_mask:
        ones = ops.ones_like(scores[:1, :1], dtype="int32")
        masks.append(ops.cumsum(ones, axis=-2) >= ops.cumsum(ones, axis=-1))
    return functools.reduce(ops.logical_and, masks) if masks else None


def check_convertible(attention):
    if not isinstance(attention, keras.layers.MultiHeadAttention):
        raise TypeError(
            "`attention` must be a keras.layers.MultiHeadAttention, got "
            f"{attention!r} of type {type(attention).__name__}."
        )
    if not attention.built:
        raise ValueError(f"`attention` ({attention.name!r}) is not built, so it has no weights.")
    config = attention.get_config()
    width = attention.query_dense.kernel.shape[0]
    reasons = {
        "gates": config.get("use_gate"),
        "a sliding window": config.get("sliding_window"),
        "inputs of another rank than three": tuple(attention.attention_axes) != (1,),
        "an output of another width": tuple(attention.output_dense.kernel.shape[2:]) != (width,),
        "keys of another width than values": attention.key_dense.kernel.shape[0]
        != attention.value_dense.kernel.shape[0],
        "quantization by Keras": attention.query_dense.quantization_mode,
    }
    if found := [reason for reason, holds in reasons.items() if holds]:
        raise ValueError(
            f"`attention` ({attention.name!r}) cannot be converted: it has {', '.join(found)}."
        )
