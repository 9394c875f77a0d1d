"""Which variables of a model are worth pruning, without a list of layer types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras

from keras_reweight.core.selection import all_layers, leaf_layers, select_layers
from keras_reweight.core.validation import check_built

_NAMES = ("embeddings", "kernel", "pointwise_kernel", "recurrent_kernel")


@dataclass
class PrunableWeights:
    """Variables to prune, their unique paths, and the layers left alone with the reason."""

    variables: list[keras.Variable] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)


def prunable_ids(model: keras.Model) -> set[int]:
    """`id` of every variable of the kind that is pruned: kernels and embedding tables."""
    named = {id(v) for v in model.variables if v.name in _NAMES and len(v.shape) >= 2}
    return named - _depthwise_ids(model)


def _depthwise_ids(model):
    # Their variable is called `kernel` as well.
    kinds = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    layers = [layer for layer in all_layers(model) if isinstance(layer, kinds)]
    return {id(variable) for layer in layers for variable in layer.variables}


def find_prunable_weights(
    model: keras.Model, layers: Any = None, *, trainable_only: bool = True, caller: str = "pruning"
) -> PrunableWeights:
    """Kernels, recurrent and pointwise kernels and embeddings below the chosen layers.

    Going by the variables finds them in nested models, cells, attention and wrappers alike.
    Depthwise kernels (one filter a channel), biases and normalization parameters are few and
    matter much; they stay dense. A chosen container stands for everything below it.

    Raises `ValueError` for an unknown layer and for a choice with nothing to prune.
    """
    check_built(model, caller)
    trainable = {id(variable) for variable in model.trainable_variables}
    prunable = prunable_ids(model)
    refused = dict.fromkeys(_depthwise_ids(model), "depthwise kernels stay dense")
    eligible = {}
    for variable in model.variables:
        if id(variable) not in prunable:
            continue
        if not keras.backend.is_float_dtype(variable.dtype):
            refused[id(variable)] = f"weights of dtype {variable.dtype}"
        elif trainable_only and id(variable) not in trainable:
            refused[id(variable)] = "not trainable"
        else:
            eligible[id(variable)] = variable

    def accept(layer):
        reasons = [refused[id(v)] for v in layer.variables if id(v) in refused]
        if any(id(variable) in eligible for variable in layer.variables):
            return None
        return reasons[0] if reasons else "no prunable weights"

    if layers is None and eligible:
        chosen = set(eligible)
    else:
        selection = select_layers(model, layers, accept=accept, candidates=all_layers(model))
        chosen = {id(v) for layer in selection.touched for v in layer.variables} & set(eligible)
    variables = [variable for key, variable in eligible.items() if key in chosen]
    skipped = {
        layer.path: accept(layer) or "not selected"
        for layer in leaf_layers(model)
        if not any(id(variable) in chosen for variable in layer.variables)
    }
    return PrunableWeights(variables, _unique_paths(variables), skipped)


def _unique_paths(variables):
    """Paths, numbered where layers of a subclassed model share a name."""
    paths: list[str] = []
    for variable in variables:
        path, number = variable.path, 1
        while path in paths:
            number += 1
            path = f"{variable.path}:{number}"
        paths.append(path)
    return paths
