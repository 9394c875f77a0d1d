"""Turning down what the heads of dynamic channels learn from."""

from __future__ import annotations

from typing import Any

import keras

from keras_compress.dynamic.dynamic_channel_gate import DynamicChannelGate
from keras_reweight.core.selection import all_layers, select_layers
from keras_reweight.core.state import sync_model
from keras_reweight.core.validation import check_built, check_number


def set_gate_weight(model: keras.Model, weight: float, *, layers: Any = None) -> None:
    """Set the weight of the loss of all dynamic channel gates of a model, between two epochs.

    The gates learn fast; without their loss in the second half of the training the task alone
    decides. Call it from a callback, without compiling anew: a `keras.callbacks.LambdaCallback`
    with `on_epoch_begin=lambda epoch, logs: set_gate_weight(model, float(epoch < 10))`.

    Args:
        model: A built `keras.Model` with `DynamicChannelGate` layers.
        weight: Float >= 0, the new weight.
        layers: Layer names, paths, `re.Pattern`, layers, predicates or a list of these; `None`
            takes all gates.

    Returns:
        Nothing; the model is changed.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `weight` is negative, the model has no gates, or `layers` names none.

    Example:

    ```python
    import keras
    import keras_compress as kc

    gate = kc.layers.DynamicChannelGate(keras.layers.Dense(8, activation="relu"))
    model = keras.Sequential([keras.Input((4,)), gate])
    kc.dynamic.set_gate_weight(model, 0.0)
    assert float(gate.loss_weight.value) == 0.0
    ```

    Reference:
        Elkerdawy et al., "Fire Together Wire Together", CVPR 2022, arXiv 2110.08232; the cooldown
        of its official code.
    """
    check_number("weight", weight, minimum=0.0)
    gates = find_gates(model, layers, caller="set_gate_weight")
    sync_model(model)
    for gate in gates:
        gate.loss_weight.assign(float(weight))


def find_gates(model: keras.Model, layers: Any, *, caller: str) -> list[DynamicChannelGate]:
    """The chosen `DynamicChannelGate` layers, at any depth; at least one."""
    check_built(model, caller)

    def accept(layer):
        return None if isinstance(layer, DynamicChannelGate) else "no DynamicChannelGate"

    selection = select_layers(model, layers, accept=accept, candidates=all_layers(model))
    return selection.touched
