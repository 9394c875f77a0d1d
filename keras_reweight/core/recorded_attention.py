"""What attention layers look at in a forward pass."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import keras

from keras_reweight.core.gradients._closed_form import _replaced


class AttentionCall(NamedTuple):
    """Query and output of a call, and its probabilities `(batch, heads, queries, keys)`."""

    query: Any
    output: Any
    scores: Any


def attention_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The attention layers in `model` that can tell their probabilities."""
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, kinds)
        and "return_attention_scores" in inspect.signature(layer.call).parameters
    ]


@contextlib.contextmanager
def recorded_attention(layers: Sequence[keras.layers.Layer]) -> Iterator[list[AttentionCall]]:
    """A list that gets every call of `layers` inside the context, in order.

    Masks are respected, because the layers themselves compute the probabilities.
    """
    calls: list[AttentionCall] = []
    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(_replaced(layer, "call", _recording(layer.call, calls)))
        yield calls


def _recording(original, calls):
    signature = inspect.signature(original)

    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        wanted = given.arguments.get("return_attention_scores", False)
        given.arguments["return_attention_scores"] = True
        output, scores = original(*given.args, **given.kwargs)
        calls.append(AttentionCall(given.arguments["query"], output, scores))
        return (output, scores) if wanted else output

    return call
