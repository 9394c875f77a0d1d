"""From a quantization-aware model back to plain Keras layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    is_open,
    rebuild,
)
from keras_compress.quantization._subclassed import new_subclassed, replace_held, same_places
from keras_compress.quantization.fold_batch_norm import fill_plain_layer
from keras_compress.quantization.folded_batch_norm import FoldedBatchNorm
from keras_compress.quantization.quantize_activation import QuantizeActivation
from keras_compress.quantization.reparametrized_attention import CHANNELS, ReparametrizedAttention
from keras_compress.quantization.supported import parts
from keras_compress.quantization.wrapper import EXAMPLE, QuantizeAware
from keras_compress.quantizers.quantizer import Quantizer
from keras_reweight.core.held_layers import held_layers
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_built, check_choice


@dataclass(frozen=True, eq=False)
class FrozenMatrix:
    """A weight of a frozen model: where it came from and how it is quantized."""

    variable: keras.Variable
    float_values: Any
    quantizer: Quantizer
    channel_axes: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class FrozenModel:
    """What freezing finds out: the plain model, its quantized weights, and the quantizers of
    activations, by plain layer of the input, and by name of the layer left out for the others."""

    model: keras.Model
    matrices: list[FrozenMatrix]
    inputs: list[tuple[keras.layers.Layer, Quantizer]]
    outputs: dict[str, Quantizer]


def freeze(model: keras.Model, *, activations: str = "error") -> keras.Model:
    """A plain Keras model whose weights are exactly on the quantization grid.

    Use it after quantization-aware training. Each `QuantizeAware` layer is replaced by the layer
    it wraps, with every quantized matrix set to the values the training has computed with, bit for
    bit. The result has no layer of this package in it, so it loads without the package, and with
    weight quantization only it computes what `model` computes. `FoldedBatchNorm` layers become
    plain layers with a bias, `QuantizeActivation` layers are left out. A `ReparametrizedAttention`
    becomes one without quantizers, the one layer of this package that may remain: its product of
    kernels has no place in an attention of Keras. The weights are still stored as floats;
    `save_packed` writes them with their few bits. The given model is left untouched.

    Plain Keras layers have no place for activation scales. A model with quantized activations is
    refused unless `activations="drop"` agrees to float activations, which changes its outputs.

    Constraints and regularizers from the configuration of the layers stay; a constraint set on a
    live variable, such as a pruning mask, is not carried over.

    Args:
        model: Quantization-aware `keras.Model`, from `quantize_aware` or with `QuantizeAware`
            layers.
        activations: `"error"` to refuse a model with quantized activations, `"drop"` to leave the
            activations float. Defaults to `"error"`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled, with plain layers of the same names.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If the model is not built, has no `QuantizeAware` layer, is subclassed and
            makes such layers in its constructor, has weights that are not finite, or quantizes
            activations and `activations` is `"error"`.

    Example:

    ```python
    import numpy as np
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    quantized = kc.quantize_aware(model, weights=3)
    plain = kc.freeze(quantized)
    levels = np.unique(plain.layers[0].get_weights()[0][:, 0])
    assert len(levels) <= 2**3
    ```

    Reference:
        None; the counterpart of `quantize_aware`.

    Cost:
        One copy of the model.
    """
    return freeze_model(model, activations, caller="freeze").model


def freeze_model(model: keras.Model, activations: str, *, caller: str) -> FrozenModel:
    """What `freeze` returns, and how its weights are quantized."""
    check_built(model, caller)
    check_choice("activations", activations, ["error", "drop"])
    if is_open(model):
        check_rebuildable(model, caller, EXAMPLE)
        layers = graph_layers(model)
    else:
        layers = list({id(layer): layer for _, layer in held_layers(model)}.values())
    wrappers = [layer for layer in layers if isinstance(layer, QuantizeAware)]
    attentions = [layer for layer in layers if _is_quantized_attention(layer)]
    _check_freezable(model, layers, wrappers, activations, caller)
    values = {id(layer): _computed_values(layer) for layer in (*wrappers, *attentions)}
    if is_open(model):
        result, pairs = _freeze_graph(model)
    else:
        result, pairs = _freeze_attributes(model, caller)
    matrices, inputs = [], []
    for wrapper in wrappers:
        plain, before = pairs[id(wrapper)], wrapper.float_matrices()
        if not isinstance(wrapper.layer, FoldedBatchNorm):
            copy_state(wrapper.layer, plain)
        else:
            fill_plain_layer(wrapper.layer, plain)
        for old, new in zip(parts(wrapper.layer), parts(plain), strict=True):
            if old.name in wrapper.input_quantizers:
                inputs.append((new.layer, wrapper.input_quantizers[old.name]))
            for source, target in zip(old.matrices, new.matrices, strict=True):
                name = source.name
                if name in wrapper.weight_quantizers:
                    target.variable.assign(values[id(wrapper)][name])
                    quantizer = wrapper.weight_quantizers[name]
                    matrices.append(
                        FrozenMatrix(target.variable, before[name], quantizer, source.axis)
                    )
    for layer in attentions:
        plain, before = pairs[id(layer)], layer.float_matrices()
        for name, (_, quantizer) in layer.quantized_matrices().items():
            variable, channels = getattr(plain, name), CHANNELS[name]
            matrices.append(FrozenMatrix(variable, before[name], quantizer, channels))
        if layer.activation is not None:
            inputs.append((plain, layer.activation_quantizers["input"]))
    outputs = {
        layer.name: layer.activation_quantizer
        for layer in layers
        if isinstance(layer, QuantizeActivation) and layer.activation_quantizer is not None
    }
    for layer in attentions:
        if layer.activation is not None:
            outputs[f"{layer.name}/product"] = layer.activation_quantizers["product"]
    return FrozenModel(result, matrices, inputs, outputs)


def _check_freezable(model, layers, wrappers, activations, caller):
    if not any(map(_is_quantized, layers)):
        raise ValueError(
            f"{caller}: model {model.name!r} has no QuantizeAware layer. Make one with "
            "`quantize_aware(model)`; a plain model needs no freezing."
        )
    inside = [
        inner.name
        for layer in layers
        if not isinstance(layer, QuantizeAware)
        for inner in all_layers(layer)
        if _is_quantized(inner)
    ]
    if inside:
        raise ValueError(
            f"{caller}: layers {inside} are quantized inside of layers of other kinds, which make "
            "them themselves. Take the quantization out of those, and use `quantize_aware`."
        )
    quantized = [layer.name for layer in wrappers if layer.input_quantizers]
    quantized += [
        layer.name
        for layer in layers
        if isinstance(layer, QuantizeActivation)
        or (isinstance(layer, ReparametrizedAttention) and layer.activation is not None)
    ]
    if quantized and activations == "error":
        raise ValueError(
            f"{caller}: layers {quantized} quantize activations, which plain Keras layers cannot. "
            "Pass `activations='drop'` to continue with float activations, or keep using the "
            "quantization-aware model."
        )


def _is_quantized(layer):
    return isinstance(layer, (QuantizeAware, QuantizeActivation)) or _is_quantized_attention(layer)


def _is_quantized_attention(layer):
    return isinstance(layer, ReparametrizedAttention) and layer.is_quantized


def _freeze_graph(model):
    def plain(layer):
        if isinstance(layer, QuantizeActivation):
            return []
        if _is_quantized_attention(layer):
            return layer.plain_layer()
        inner = layer.layer if isinstance(layer, QuantizeAware) else layer
        return inner.plain_layer() if isinstance(inner, FoldedBatchNorm) else copy_layer(inner)

    result, pairs = rebuild(model, plain)
    for old, new in pairs.values():
        if isinstance(old, FoldedBatchNorm):
            fill_plain_layer(old, new)
        elif not _is_quantized(old):
            copy_state(old, new)
    return result, {key: new for key, (_, new) in pairs.items()}


def _freeze_attributes(model, caller):
    result = new_subclassed(model, caller)
    made = [layer.name for layer in all_layers(result) if isinstance(layer, QuantizeAware)]
    if made:
        raise ValueError(
            f"{caller}: the constructor of {type(model).__name__} makes the QuantizeAware layers "
            f"{made}, so there is no plain model of this class. Make one without them and copy "
            "`computed_matrices()` of each into it."
        )
    attentions = {
        id(new): old.plain_layer()
        for old, new in same_places(model, result)
        if _is_quantized_attention(old)
    }
    replace_held(result, attentions)
    pairs = {}
    for old, new in same_places(model, result):
        pairs[id(old)] = new
        if not _is_quantized(old):
            copy_state(old, new)
    for before, after in zip(_own_variables(model), _own_variables(result), strict=True):
        after.assign(keras.ops.convert_to_numpy(before.value))
    result.trainable = model.trainable
    for old, new in same_places(model, result):
        new.trainable = old.trainable
    return result, pairs


def _own_variables(model):
    """Variables that no layer of a subclassed model holds."""
    held = {id(variable) for _, layer in held_layers(model) for variable in layer.variables}
    return [variable for variable in model.variables if id(variable) not in held]


def _computed_values(wrapper):
    """Name -> values on the grid of the quantized matrices of `wrapper`, as NumPy arrays."""
    values = {}
    for name, rounded in wrapper.computed_matrices().items():
        values[name] = keras.ops.convert_to_numpy(rounded)
        if not np.all(np.isfinite(values[name].astype("float32"))):
            raise ValueError(f"Layer {wrapper.name!r}: {name} has values that are not finite.")
    return values
