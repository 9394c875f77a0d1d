"""How many multiplications a weight takes part in."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras

from keras_reweight.core.call_shapes import call_shapes
from keras_reweight.core.selection import all_layers


def weight_reuse(model: keras.Model, variables: Sequence[keras.Variable]) -> list[float]:
    """Multiply-accumulates per weight of each variable, for one sample.

    A dense kernel of a vector has 1, a convolution the number of places of its filter, a recurrent
    kernel the number of time steps, an embedding 0.
    """
    # Reports of the analysis package are about pruning and import it.
    from keras_compress.analysis.mac_rules import mac_rule

    # Containers come first: the innermost layer with a rule has the last word.
    counted = {
        id(variable): layer
        for layer in all_layers(model)
        if mac_rule(layer) is not None
        for variable in layer.weights
    }
    layers = {id(counted[id(v)]): counted[id(v)] for v in variables if id(v) in counted}
    macs = dict.fromkeys(layers, 0)
    for call in call_shapes(model, layers.values()):
        rule = mac_rule(call.layer)
        if rule is not None:
            macs[id(call.layer)] += rule(call) // call.first[0]
    result = []
    for variable in variables:
        layer = counted.get(id(variable))
        size = sum(math.prod(v.shape) for v in layer.weights if _is_kernel(v)) if layer else 0
        result.append(macs[id(layer)] / size if size else 0.0)
    return result


def _is_kernel(variable):
    # Some recurrent layers have a bias of two axes.
    return len(variable.shape) >= 2 and "bias" not in variable.name
