"""Embeddings: every column of the table is a channel."""

from __future__ import annotations

import keras

from keras_reweight.core.channels.trace import Call, Tracked, is_quantized


def embedding(call: Call) -> list[Tracked]:
    layer, (ids, *_) = call.operation, call.inputs
    if reason := is_quantized(layer):
        return call.refuse(reason)
    call.freeze(ids.atoms, "reads them as ids")
    columns = call.produce("channels", layer.output_dim)
    call.bind(layer.embeddings, 1, columns, "out")
    call.edit("output_dim", lambda kept: kept(columns))
    return call.outputs(-1, columns)


RULES = {keras.layers.Embedding: embedding}
