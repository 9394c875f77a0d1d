"""Built functions, remembered per model so that a repeated call does not compile again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import keras

_ATTRIBUTE = "_kr_gradient_functions"
MAX_ENTRIES = 32


class _FunctionCache:
    """Lives and dies with its model; the least recently used entry goes first."""

    def __init__(self):
        self.entries = OrderedDict()


def cached(model: keras.Model, key: Hashable, kept: Any, build: Callable[[], Callable]) -> Callable:
    """The function built for `key`, from the cache or new.

    `kept` are the objects whose identity is part of the key; they live as long as the entry.
    """
    cache = model.__dict__.get(_ATTRIBUTE)
    if cache is None:
        cache = _FunctionCache()
        # Plain `setattr` would hand the cache to Keras' and torch's attribute trackers.
        object.__setattr__(model, _ATTRIBUTE, cache)
    layers = list(model._flatten_layers())
    key = (key, _fingerprint(model, layers))
    if key not in cache.entries:
        cache.entries[key] = (build(), kept, layers)
        while len(cache.entries) > MAX_ENTRIES:
            cache.entries.popitem(last=False)
    cache.entries.move_to_end(key)
    return cache.entries[key][0]


def forget(model: keras.Model) -> None:
    """Drop everything built for `model`."""
    model.__dict__.pop(_ATTRIBUTE, None)


def _fingerprint(model, layers):
    """What a traced model takes from its layers, as far as it can change in place."""
    states = tuple(
        (id(layer), type(layer), layer.trainable, layer.dtype_policy.name) for layer in layers
    )
    return states, tuple(id(variable) for variable in model.variables)
