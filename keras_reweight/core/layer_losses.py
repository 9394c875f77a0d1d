"""Losses that layers add while they run inside a stateless scope."""

from __future__ import annotations

import keras


def take_losses(layer: keras.layers.Layer, scope: keras.StatelessScope) -> list:
    """The losses added inside `scope`, struck off the books of `layer` and its sublayers.

    Call it inside the scope. Keras attributes a loss to a layer by the `id` of the tensor. A layer
    that keeps the ids of tensors nobody holds any more would claim other tensors that happen to
    get the same address.
    """
    losses = list(scope.losses)
    layer._clear_losses()
    return losses
