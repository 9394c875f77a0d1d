"""Batch normalization as a part of the layer before it."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import keras

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    copy_trainable_flags,
    graph_layers,
    is_open,
    rebuild,
)
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm, folding_refusal
from keras_reweight.core.graph_calls import graph_calls
from keras_reweight.core.selection import select_layers
from keras_reweight.core.validation import check_boolean, check_built, check_choice


def fold_batch_norm(
    model: keras.Model,
    *,
    layers: Any = None,
    trainable: bool = False,
    statistics: str = "moving",
) -> keras.Model:
    """A copy of a model with batch normalization folded into the layers before it.

    Use it before post-training quantization and export: inference computes the same with one
    kernel and one bias, `w * gamma / sqrt(variance + epsilon)` and
    `beta + (b - mean) * gamma / sqrt(variance + epsilon)`. With `trainable=True` the two become one
    `FoldedBatchNorm` layer that goes on training as the two did, which is what `quantize_aware`
    should quantize; `freeze`, or `fold_batch_norm` again, makes plain layers of these.

    Folded are `Dense`, convolutions, their transposes, depthwise and separable convolutions
    without an activation whose only consumer is a `BatchNormalization` of their output channels.
    A normalization that stays is named in a warning with the reason.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        layers: The `BatchNormalization` and `FoldedBatchNorm` layers to treat: names, `re.Pattern`,
            predicates, layers, or a list of these; `None` for all. Defaults to `None`.
        trainable: Boolean, `FoldedBatchNorm` layers instead of plain ones. Defaults to `False`.
        statistics: `"moving"` or `"batch"`, how `FoldedBatchNorm` trains. Defaults to `"moving"`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or `trainable` no boolean.
        ValueError: If the model is not built or is subclassed, a name belongs to no layer, nothing
            can be folded, or `statistics` is unknown.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, use_bias=False),
                              keras.layers.BatchNormalization(), keras.layers.ReLU()])
    folded = kc.quantization.fold_batch_norm(model)
    x = np.ones((2, 8), "float32")
    assert np.allclose(model.predict(x, verbose=0), folded.predict(x, verbose=0), atol=1e-5)
    ```

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877, section 3.2.

    Cost:
        One copy of the model.
    """
    check_built(model, "fold_batch_norm")
    check_boolean("trainable", trainable)
    check_choice("statistics", statistics, ["batch", "moving"])
    check_rebuildable(model, "fold_batch_norm", "kc.layers.FoldedBatchNorm(layer, batch_norm)")
    kinds = (keras.layers.BatchNormalization, FoldedBatchNorm)
    candidates = [layer for layer in graph_layers(model) if isinstance(layer, kinds)]
    pairs, reasons = batch_norm_pairs(model)

    def accept(layer):
        if isinstance(layer, FoldedBatchNorm):
            return "it is a FoldedBatchNorm already" if trainable else None
        return reasons.get(id(layer))

    selection = select_layers(model, layers, accept=accept, candidates=candidates)
    left = {path: reason for path, reason in selection.skipped.items() if reason != "not selected"}
    if left:
        warnings.warn(f"fold_batch_norm: normalization that stays: {left}.", stacklevel=2)
    chosen = {id(layer) for layer in selection.touched}
    norms = {id(layer): norm for layer, norm in pairs if id(norm) in chosen}
    dropped = {id(norm) for norm in norms.values()}

    def replace(layer):
        if id(layer) in dropped:
            return []
        if id(layer) not in {*norms, *chosen}:
            return copy_layer(layer)
        if trainable:
            norm = copy_layer(norms[id(layer)])
            return FoldedBatchNorm(copy_layer(layer), norm, statistics=statistics)
        return _folded(layer, norms).plain_layer()

    result, rebuilt = rebuild(model, replace)
    for key, (old, new) in rebuilt.items():
        if key in dropped:
            continue
        if key not in {*norms, *chosen}:
            copy_state(old, new)
        elif trainable:
            copy_state(old, new.layer)
            copy_state(norms[key], new.batch_norm)
        else:
            fill_plain_layer(_folded(old, norms), new)
    return result


def _folded(layer, norms):
    if isinstance(layer, FoldedBatchNorm):
        return layer
    # Only computes the values; the layers stay those of the model.
    return FoldedBatchNorm(layer, norms[id(layer)])


def fill_plain_layer(folded: FoldedBatchNorm, plain: keras.layers.Layer) -> None:
    """Give a built `folded.plain_layer()` the weights of inference."""
    named = {variable.name: variable for variable in plain.weights}
    for variable in folded.layer.weights:
        named[variable.name].assign(keras.ops.convert_to_numpy(variable.value))
    kernel = keras.ops.convert_to_numpy(folded.folded_kernel())
    named[folded.folded_variable.name].assign(kernel)
    named["bias"].assign(keras.ops.convert_to_numpy(folded.folded_bias()))
    copy_trainable_flags(folded.layer, plain)


def batch_norm_pairs(model: keras.Model) -> tuple[list[tuple], dict[int, str]]:
    """(layer, normalization after it) pairs, and by `id` why a normalization is in none."""
    uses: Counter[int] = Counter()
    pairs, reasons = [], {}
    opened: set[int] = set()

    def visit(graph):
        if id(graph) in opened:
            return
        opened.add(id(graph))
        calls = graph_calls(graph)
        consumers = Counter(id(tensor) for call in calls for tensor in call.inputs)
        consumers.update(id(tensor) for tensor in graph.outputs)
        makers = {id(tensor): call for call in calls for tensor in call.outputs}
        for call in calls:
            uses[id(call.operation)] += 1
            if isinstance(call.operation, keras.Model) and is_open(call.operation):
                visit(call.operation)
            elif isinstance(call.operation, keras.layers.BatchNormalization):
                source = makers[id(call.inputs[0])].operation
                reason = folding_refusal(source, call.operation)
                if reason is None and consumers[id(call.inputs[0])] > 1:
                    reason = f"the output of {source.name!r} is used elsewhere, too"
                if reason is None:
                    pairs.append((source, call.operation))
                else:
                    reasons[id(call.operation)] = f"{source.name!r}: {reason}"

    visit(model)
    for layer, norm in pairs:
        if uses[id(layer)] > 1 or uses[id(norm)] > 1:
            reasons[id(norm)] = f"{layer.name!r} and the normalization are called several times"
    return [pair for pair in pairs if id(pair[1]) not in reasons], reasons
