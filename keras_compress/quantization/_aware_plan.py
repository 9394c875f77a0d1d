"""Which quantizers the layers of a model get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_compress._rebuild import graph_layers, is_open
from keras_compress.quantization.assignment import Target, assign, names_of
from keras_compress.quantization.supported import Part, input_refusal, parts, refusal
from keras_compress.quantizers.lsq import LSQQuantizer
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.held_layers import held_layers
from keras_reweight.core.selection import layers_by_path, select_layers
from keras_reweight.core.validation import check_integer

#: Names of the first and the last layer with matrices, in the order of the model.
FIRST, LAST = "<first>", "<last>"


@dataclass
class UnitPlan:
    """Quantizers of one layer that is wrapped as a whole, by the names of matrices and parts."""

    layer: keras.layers.Layer
    parts: list[Part]
    weights: dict[str, Quantizer] = field(default_factory=dict)
    inputs: dict[str, int | Quantizer] = field(default_factory=dict)


def units(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that are wrapped as a whole or not at all."""
    if is_open(model):
        return graph_layers(model)
    return list({id(layer): layer for _, layer in held_layers(model)}.values())


def make_plan(
    model: keras.Model,
    weights: Any,
    activations: Any,
    layers: Any,
    quantizer_for: Callable[[int], Quantizer],
) -> dict[int, UnitPlan]:
    """`id(layer)` -> plan, for the layers of `model` that get a quantizer."""
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    refused = {id(layer): refusal(layer) for layer in units(model)}
    plans = {
        id(layer): UnitPlan(layer, parts(layer))
        for layer in units(model)
        if refused[id(layer)] is None
    }
    others = [
        _target(None, paths[id(layer)], layer, reason=refused[id(layer)])
        for layer in units(model)
        if refused[id(layer)] is not None
    ]
    places = [(key, part) for key, plan in plans.items() for part in plan.parts]
    for_weights = assign("weights", weights, [*_weight_targets(places, paths), *others])
    for_inputs = assign("activations", activations, [*_input_targets(places, paths), *others])
    chosen = _selected(model, layers, plans, refused, {*for_weights, *for_inputs})
    shared: dict[int, Quantizer] = {}
    for key, part in places:
        if not chosen & {key, id(part.layer)}:
            continue
        for matrix in part.matrices:
            bits = for_weights.get((key, matrix.name))
            if bits is not None:
                plans[key].weights[matrix.name] = _quantizer(bits, quantizer_for, shared)
        bits = for_inputs.get((key, part.name))
        if bits is not None:
            if not isinstance(bits, Quantizer):
                check_integer("activations", bits, minimum=2)
            plans[key].inputs[part.name] = bits
    found = {key: plan for key, plan in plans.items() if plan.weights or plan.inputs}
    _check_finite(found.values())
    return found


def input_quantizer(bits: int | Quantizer, smallest: float) -> Quantizer:
    """A quantizer for inputs down to `smallest`."""
    if isinstance(bits, Quantizer):
        return bits
    return LSQQuantizer(bits, signed=smallest < 0.0)


def _quantizer(bits, quantizer_for, shared):
    if isinstance(bits, Quantizer):
        return bits
    # One object for all layers with these bits: whoever sees it twice knows that it is the same.
    return shared.setdefault(bits, quantizer_for(bits))


def _target(key, path, layer, *names, reason=None):
    ends = set(names) & {FIRST, LAST}
    known = names_of(path, layer.name, *names)
    texts = (layer.name, path, *(name for name in names if name not in ends))
    return Target(key, path, known, texts, reason)


def _weight_targets(places, paths):
    weighted = [part.layer for _, part in places if part.matrices]
    targets = []
    for key, part in places:
        path = paths[id(part.layer)]
        ends = [
            end for end, at in ((FIRST, 0), (LAST, -1)) if weighted and part.layer is weighted[at]
        ]
        for matrix in part.matrices:
            names = (f"{path}/{matrix.variable.name}", matrix.variable.path, *ends)
            targets.append(_target((key, matrix.name), path, part.layer, *names))
    return targets


def _input_targets(places, paths):
    targets = []
    for number, (key, part) in enumerate(places):
        ends = [end for end, at in ((FIRST, 0), (LAST, len(places) - 1)) if number == at]
        reason = input_refusal(part)
        targets.append(
            _target((key, part.name), paths[id(part.layer)], part.layer, *ends, reason=reason)
        )
    return targets


def _selected(model, layers, plans, refused, assigned):
    """Ids of units and of layers in them that `layers` names and that have something to do."""
    candidates = {id(layer): layer for layer in units(model)}
    for plan in plans.values():
        for part in plan.parts:
            candidates.setdefault(id(part.layer), part.layer)
    busy = {key for key, _ in assigned}
    busy_parts = {
        id(part.layer)
        for key, plan in plans.items()
        for part in plan.parts
        if {(key, part.name), *((key, one.name) for one in part.matrices)} & assigned
    }

    def accept(layer):
        if refused.get(id(layer)):
            return refused[id(layer)]
        if id(layer) in busy or id(layer) in busy_parts:
            return None
        return "`weights` and `activations` assign nothing to it"

    selection = select_layers(model, layers, accept=accept, candidates=candidates.values())
    return {id(layer) for layer in selection.touched}


def _check_finite(plans):
    for plan in plans:
        for part in plan.parts:
            for matrix in part.matrices:
                values = keras.ops.cast(matrix.variable.value, "float32")
                if not np.all(np.isfinite(keras.ops.convert_to_numpy(values))):
                    raise ValueError(
                        f"Layer {plan.layer.name!r}: {matrix.name} has values that are not finite."
                    )
