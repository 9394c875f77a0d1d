"""Which rule belongs to which layer or operation."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_reweight.core.channels.rules import (
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
from keras_reweight.core.channels.trace import Call, Tracked
from keras_reweight.core.graph_calls import application_layer, bare_operation

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
    if isinstance(operation, keras.layers.Layer):
        rule = _LAYERS.get(type(operation))
        return rule or applications.RULES.get(application_layer(operation) or "")
    return operations.RULES.get(bare_operation(operation) or "")
