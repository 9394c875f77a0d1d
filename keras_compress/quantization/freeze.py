"""From a quantization-aware model back to plain Keras layers."""

from __future__ import annotations

import keras
import numpy as np

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from keras_compress.quantization.wrapper import EXAMPLE, QuantizeAware
from keras_reweight.core.validation import check_built, check_choice


def freeze(model: keras.Model, *, activations: str = "error") -> keras.Model:
    """A plain Keras model whose weights are exactly on the quantization grid.

    Use it after quantization-aware training. Each `QuantizeAware` layer is replaced by the layer
    it wraps, with every quantized matrix set to the values the training has computed with, bit for
    bit. The result has no layer of this package in it, so it loads without the package, and with
    weight quantization only it computes what `model` computes. The weights are still stored as
    floats; `save_packed` writes them with their few bits. The given model is left untouched.

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
        ValueError: If the model is not built, is subclassed, has no `QuantizeAware` layer, has
            weights that are not finite, or quantizes activations and `activations` is `"error"`.

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
    result, _ = freeze_layers(model, activations, caller="freeze")
    return result


def freeze_layers(
    model: keras.Model, activations: str, *, caller: str
) -> tuple[keras.Model, list[tuple[keras.layers.Layer, keras.layers.Layer]]]:
    """What `freeze` returns, and its (`QuantizeAware` layer, plain layer) pairs."""
    check_built(model, caller)
    check_rebuildable(model, caller, EXAMPLE)
    check_choice("activations", activations, ["error", "drop"])
    wrappers = [layer for layer in graph_layers(model) if isinstance(layer, QuantizeAware)]
    if not wrappers:
        raise ValueError(
            f"{caller}: model {model.name!r} has no QuantizeAware layer. Make one with "
            "`quantize_aware(model)`; a plain model needs no freezing."
        )
    quantized = [layer.name for layer in wrappers if layer.activation_quantizer is not None]
    if quantized and activations == "error":
        raise ValueError(
            f"{caller}: layers {quantized} quantize their inputs, which plain Keras layers cannot. "
            "Pass `activations='drop'` to continue with float activations, or keep using the "
            "quantization-aware model."
        )
    values = {id(layer): _frozen_values(layer) for layer in wrappers}
    result, pairs = rebuild(
        model, lambda layer: copy_layer(layer.layer if id(layer) in values else layer)
    )
    for key, (old, new) in pairs.items():
        if key not in values:
            copy_state(old, new)
            continue
        copy_state(old.layer, new)
        for variable in new.weights:
            if variable.name in values[key]:
                variable.assign(values[key][variable.name])
    return result, [pairs[id(layer)] for layer in wrappers]


def _frozen_values(wrapper):
    """Name -> values on the grid of the quantized matrices of `wrapper`, as NumPy arrays."""
    values = {}
    for name, (variable, quantizer) in wrapper.quantized_matrices().items():
        rounded = keras.ops.convert_to_numpy(quantizer(variable.value))
        if not np.all(np.isfinite(rounded.astype("float32"))):
            raise ValueError(f"Layer {wrapper.name!r}: {name} has values that are not finite.")
        values[name] = rounded
    return values
