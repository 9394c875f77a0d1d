"""Which rule belongs to which layer or operation."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_compress.structured._trace import Call, Tracked
from keras_compress.structured.rules import (
    applications,
    attention,
    convolution,
    dense,
    elementwise,
    embedding,
    merge,
    normalization,
    operations,
    recurrent,
    reshaping,
    spatial,
    wrappers,
)

Rule = Callable[[Call], list[Tracked]]

_LAYERS: dict[type, Rule] = {
    kind: rule
    for family in (
        attention,
        convolution,
        dense,
        elementwise,
        embedding,
        merge,
        normalization,
        recurrent,
        reshaping,
        spatial,
        wrappers,
    )
    for kind, rule in family.RULES.items()
}


def find_rule(operation) -> Rule | None:
    """The rule of a layer or operation; `None` where there is none."""
    kind = type(operation)
    if isinstance(operation, keras.layers.Layer):
        return _LAYERS.get(kind) or applications.RULES.get((kind.__module__, kind.__name__))
    if kind.__module__.startswith("keras.src.ops."):
        return operations.RULES.get(kind.__name__)
    return None
