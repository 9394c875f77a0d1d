"""Which weights of a model are quantized, to how many bits, and why the others are not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress.calibration.kernel_rows import channel_axes, has_kernel_rows, num_groups
from keras_compress.quantization import assignment
from keras_compress.quantization.wrapper import QuantizeAware
from keras_reweight.core.observed_inputs import steps_inside
from keras_reweight.core.selection import all_layers, layers_by_path, select_layers
from keras_reweight.core.validation import check_integer


@dataclass(frozen=True)
class Target:
    """A weight matrix to quantize: of the float model, and of the model that is changed."""

    path: str
    layer: keras.layers.Layer
    bits: int
    channel_axes: tuple[int, ...]
    num_groups: int

    @property
    def has_inputs(self) -> bool:
        """Whether rows of numbers go into the layer: what can be calibrated on."""
        return has_kernel_rows(self.layer)


def weight_of(layer: keras.layers.Layer) -> keras.Variable:
    """The variable that is quantized."""
    return layer.embeddings if isinstance(layer, keras.layers.Embedding) else layer.kernel


def host_value(variable: keras.Variable) -> np.ndarray:
    """The values of a variable as they are."""
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def find_targets(model: keras.Model, layers: Any, bits: Any) -> tuple[list[Target], dict[str, str]]:
    """The targets in the order of the model, and the paths of the other layers with reasons.

    A container that is selected stands for what is in it. What is refused is an error where it was
    named, and a reason where a pattern or predicate met it.
    """
    paths = layers_by_path(model)
    selection = select_layers(model, layers, candidates=list(paths.values()))
    direct = {id(layer) for layer in selection.touched}
    chosen = direct | {id(part) for layer in selection.touched for part in all_layers(layer)}
    reasons = _reasons(model, layers is not None, direct)
    skipped, accepted = {}, {}
    for path, layer in paths.items():
        if id(layer) not in chosen:
            skipped[path] = "not selected"
        elif (reason := reasons(layer)) is not None:
            skipped[path] = reason
        else:
            accepted[path] = layer
    leaves = {id(layer) for layer in _named(model, layers) if not all_layers(layer)}
    refused = {path: why for path, why in skipped.items() if id(paths[path]) in leaves}
    if refused or not accepted:
        raise ValueError(f"`layers`: these layers cannot be quantized: {refused or skipped}.")
    given = _bits(bits, accepted)
    skipped.update((path, "no bits in `bits`") for path in accepted if path not in given)
    # Layers without weights are no news, and of a container what it holds is listed.
    skipped = {
        path: why
        for path, why in skipped.items()
        if paths[path].weights and not all_layers(paths[path])
    }
    targets = [
        Target(path, layer, given[path], _axes(layer), _groups(layer))
        for path, layer in accepted.items()
        if path in given
    ]
    if not targets:
        raise ValueError(f"`bits`={bits!r} leaves no layer to quantize.")
    return targets, skipped


def _reasons(model, by_choice, direct):
    """`layer -> None` or why it cannot be quantized."""
    loops = steps_inside(model)
    aware = [layer for layer in all_layers(model) if isinstance(layer, QuantizeAware)]
    wrapped = {id(part) for layer in aware for part in (layer, *all_layers(layer))}

    def reason(layer):
        if id(layer) in loops:
            return f"called step by step inside {loops[id(layer)]!r}"
        if id(layer) in wrapped:
            return "quantization-aware; `freeze` the model first"
        is_embedding = isinstance(layer, keras.layers.Embedding)
        if is_embedding and not (by_choice and id(layer) in direct):
            return "an embedding has no inputs to calibrate on; name it in `layers` to round it"
        return _refusal(layer)

    return reason


def _named(model, layers):
    """The layers that `layers` names or holds, in contrast to those it describes."""
    items = layers if isinstance(layers, (list, tuple, set, frozenset)) else [layers]
    for item in items:
        if isinstance(item, (str, keras.layers.Layer)):
            yield from select_layers(model, item, candidates=all_layers(model)).touched


def _bits(bits, chosen):
    if not isinstance(bits, Mapping):
        check_integer("bits", bits, minimum=1, maximum=8)
        return dict.fromkeys(chosen, int(bits))
    places = [assignment.Target(path, path, assignment.names_of(path), (path,)) for path in chosen]
    found = assignment.assign("bits", bits, places)
    for path, value in found.items():
        check_integer(f"bits of {path!r}", value, minimum=1, maximum=8)
    return {path: found[path] for path in chosen if path in found}


def _refusal(layer):
    kind = type(layer).__name__
    if not (has_kernel_rows(layer) or isinstance(layer, keras.layers.Embedding)):
        return f"{kind} has no kernel that rows of inputs are multiplied with"
    if not layer.built:
        return "not built"
    if getattr(layer, "quantization_mode", None) is not None:
        return f"already quantized by Keras ({layer.quantization_mode})"
    if getattr(layer, "lora_enabled", False):
        return "LoRA is enabled, and its kernel is a sum of several variables"
    try:
        axes = _axes(layer)
    except ValueError as error:
        return str(error)
    shape = weight_of(layer).shape
    if math.prod(shape[axis] for axis in axes) == math.prod(shape):
        return "every weight would get a scale of its own"
    return None


def _axes(layer):
    return (0,) if isinstance(layer, keras.layers.Embedding) else channel_axes(layer)


def _groups(layer):
    return 1 if isinstance(layer, keras.layers.Embedding) else num_groups(layer)
