"""Which variables of a model are worth pruning, without a list of layer types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_reweight.core.selection import all_layers, leaf_layers, select_layers
from keras_reweight.core.validation import check_built

_NAMES = ("embeddings", "kernel", "pointwise_kernel", "recurrent_kernel")
_SEPARABLE_LAYERS = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_DEPTHWISE_LAYERS = (
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    *_SEPARABLE_LAYERS,
)
_STAY_DENSE = "depthwise kernels stay dense"


@dataclass
class PrunableWeights:
    """Variables to prune, their unique paths, the innermost layer of each (`None`: none holds it),
    and the layers left alone with the reason."""

    variables: list[keras.Variable] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    layers: list[Any] = field(default_factory=list)


def prunable_ids(model: keras.Model) -> set[int]:
    """`id` of every variable of the kind that is pruned: kernels and embedding tables."""
    named = {id(v) for v in model.variables if v.name in _NAMES and len(v.shape) >= 2}
    return named - _depthwise_ids(model)


def innermost_layers(model: keras.Model) -> dict[int, keras.layers.Layer]:
    """The innermost layer that holds a variable, by the `id` of the variable."""
    # Containers come first, so the innermost layer has the last word.
    return {id(v): layer for layer in all_layers(model) for v in layer.variables}


def _depthwise_ids(model):
    # In a depthwise layer the variable is called `kernel` as well.
    return {
        id(variable)
        for layer in all_layers(model)
        if isinstance(layer, _DEPTHWISE_LAYERS)
        for variable in layer.variables
        if variable.name == _depthwise_name(layer)
    }


def _has_zeros(variable):
    return bool((ops.convert_to_numpy(ops.convert_to_tensor(variable)) == 0).any())


def _depthwise_name(layer):
    return "depthwise_kernel" if isinstance(layer, _SEPARABLE_LAYERS) else "kernel"


def find_prunable_weights(
    model: keras.Model,
    layers: Any = None,
    *,
    trainable_only: bool = True,
    sparse_depthwise: bool = False,
    caller: str = "pruning",
) -> PrunableWeights:
    """Kernels, recurrent and pointwise kernels and embeddings below the chosen layers.

    Going by the variables finds them in nested models, cells, attention and wrappers alike. Biases
    and normalization parameters are few and matter much; they stay dense. So do depthwise kernels
    (one filter a channel), those of separable convolutions too, unless `layers` names the very
    layer that holds them, or with `sparse_depthwise` if they have zeros already. A chosen container
    stands for everything else below it.

    Raises `ValueError` for an unknown layer and for a choice with nothing to prune.
    """
    check_built(model, caller)
    trainable = {id(variable) for variable in model.trainable_variables}
    usual, depthwise = prunable_ids(model), _depthwise_ids(model)
    refused, eligible = {}, {}
    for variable in model.variables:
        key = id(variable)
        if key not in usual | depthwise:
            continue
        if not keras.backend.is_float_dtype(variable.dtype):
            refused[key] = f"weights of dtype {variable.dtype}"
        elif trainable_only and key not in trainable:
            refused[key] = "not trainable"
        elif (
            key in depthwise and layers is None and not (sparse_depthwise and _has_zeros(variable))
        ):
            refused[key] = _STAY_DENSE
        else:
            eligible[key] = variable

    def prunable_in(layer):
        named = depthwise if isinstance(layer, _DEPTHWISE_LAYERS) else set()
        return {id(v) for v in layer.variables} & set(eligible) & (usual | named)

    def accept(layer):
        if prunable_in(layer):
            return None
        reasons = [refused.get(id(v)) for v in layer.variables if id(v) in refused]
        return reasons[0] if reasons else "no prunable weights"

    if layers is None and eligible:
        chosen = set(eligible)
    else:
        selection = select_layers(model, layers, accept=accept, candidates=all_layers(model))
        chosen = set().union(*(prunable_in(layer) for layer in selection.touched))
    variables = [variable for key, variable in eligible.items() if key in chosen]
    skipped = {
        layer.path: accept(layer) or "not selected"
        for layer in leaf_layers(model)
        if not any(id(variable) in chosen for variable in layer.variables)
    }
    owners = innermost_layers(model)
    layers_of = [owners.get(id(variable)) for variable in variables]
    return PrunableWeights(variables, _unique_paths(variables), skipped, layers_of)


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
