"""The original model, blind to the channels that go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_compress import _rebuild
from keras_compress.structured._on_kept import OnKept
from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.rebuild import copy_sliced, edited_config
from keras_reweight.core.skipped_initialization import skipped_initialization
from keras_reweight.core.state import sync_model


def masked_original(
    model: keras.Model, graph: ChannelGraph, keep: Mapping[str, np.ndarray]
) -> keras.Model:
    """A copy of full size whose layers do not read the channels that `keep` drops.

    It computes what the pruned model must compute, by another way: the incoming weights of dropped
    channels are zero, while everything before them is left as it is. Where a normalization runs
    over the channels, zeros would count as values; there the normalization sees only the channels
    that stay. (Not inside `TimeDistributed`, where the two models differ.)
    """
    if graph.model is not model:
        raise ValueError(f"`graph` is that of model {graph.model.name!r}, not of `model`.")
    alive, trace = graph.alive(keep), graph.trace
    sync_model(model)

    def kept(atoms):
        return int(np.count_nonzero(alive[atoms]))

    def replace(layer):
        tensor = trace.across.get(id(layer))
        if tensor is None or alive[tensor.atoms].all():
            return skip(_rebuild.copy_layer(layer))
        small = type(layer).from_config(edited_config(layer, trace, kept))
        return OnKept(skip(small), tensor.axis, alive[tensor.atoms])

    with skipped_initialization() as skip:
        twin, pairs = _rebuild.rebuild(model, replace)
    copies: dict[Any, Any] = {}
    for before, after in pairs.values():
        if isinstance(after, OnKept):
            copy_sliced(before, after.layer, trace, alive)
            continue
        _rebuild.copy_state(before, after)
        copies.update(
            (id(old), new) for old, new in zip(before.variables, after.variables, strict=True)
        )
    for binding in trace.bindings.values():
        stays = alive[binding.atoms]
        if binding.role == "in" and not stays.all():
            copy = copies[id(binding.variable)]
            shape = [-1 if axis == binding.axis else 1 for axis in range(len(copy.shape))]
            value = keras.ops.convert_to_numpy(copy.value)
            copy.assign(np.where(stays.reshape(shape), value, 0))
    return twin
