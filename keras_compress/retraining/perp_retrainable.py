"""Retrain only the few weights that repair a pruned model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_compress.pruning.prunable_weights import prunable_ids
from keras_compress.retraining.add_mask_lora import has_zeros
from keras_compress.retraining.mask_lora import MaskLoRA
from keras_compress.retraining.retrainable_report import RetrainableReport
from keras_reweight.core.layer_calls import last_weighted_layer
from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_built

_PARTS = ("bias", "norm", "head", "lora")
_NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def perp_retrainable(
    model: keras.Model, what: Sequence[str] = ("bias", "norm", "head")
) -> RetrainableReport:
    """Freeze a pruned model except for biases, normalization and its head.

    Use it before a short retraining: these parameters, often less than one percent, win back much
    of what pruning lost, with a fraction of the memory of the optimizer. It sets the `trainable`
    flags of the variables; `compile` the model afterwards. `report.restore()` puts the flags back.

    - `"bias"`: all biases;
    - `"norm"`: gains and offsets of batch, group, layer and RMS normalization;
    - `"head"`: kernel and bias of the last layer with weights. A pruned kernel is left frozen,
      because training would fill its zeros;
    - `"lora"`: the matrices of `MaskLoRA` layers.

    Variables that were frozen before stay frozen. Setting `trainable` of a layer or of the model
    afterwards overwrites what is set here.

    Args:
        model: A built `keras.Model` of any kind.
        what: Strings out of `"bias"`, `"norm"`, `"head"` and `"lora"`. Defaults to
            `("bias", "norm", "head")`.

    Returns:
        A `RetrainableReport`: what is trained, what is left frozen and why.

    Raises:
        TypeError: If `model` is no `keras.Model` or `what` no list of strings.
        ValueError: If the model is not built, `what` names something else, or nothing is left to
            train.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    kc.prune_magnitude(model, 0.8)
    report = kc.retraining.perp_retrainable(model, ("bias", "norm"))
    assert [variable.name for variable in model.trainable_variables] == ["bias", "bias"]
    report.restore()
    ```

    Reference:
        Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        arXiv 2312.15230, section 3.1; github.com/ZIB-IOL/PERP.

    Cost:
        One look at the kernel of the head.
    """
    check_built(model, "perp_retrainable")
    parts = _check_parts(what)
    flags = [(variable, variable.trainable) for variable in model.variables]
    chosen, reasons = _choose(model, parts)
    candidates = {id(variable) for variable in model.trainable_variables}
    touched: dict[str, int] = {}
    skipped: dict[str, str] = {}
    for variable, flag in flags:
        if id(variable) in candidates and id(variable) in chosen:
            touched[_free(variable.path, touched)] = int(np.prod(variable.shape))
        elif id(variable) in candidates:
            reason = reasons.get(id(variable), f"not in {parts}")
            skipped[_free(variable.path, skipped)] = reason
        elif flag and id(variable) in chosen:
            skipped[_free(variable.path, skipped)] = "its layer is frozen"
    if not touched:
        raise ValueError(
            f"`what`={what!r} leaves nothing to train in model {model.name!r}: {skipped}."
        )
    for variable, flag in flags:
        if id(variable) in candidates:
            variable.trainable = flag and id(variable) in chosen
    total = sum(int(np.prod(weight.shape)) for weight in model.weights)
    return RetrainableReport(touched, skipped, sum(touched.values()) / total, tuple(flags))


def _check_parts(what: Any) -> tuple[str, ...]:
    if isinstance(what, str) or not isinstance(what, (list, tuple, set, frozenset)):
        raise TypeError(f"`what` must be a list of names out of {_PARTS}, got {what!r}.")
    unknown = [part for part in what if part not in _PARTS]
    if unknown or not what:
        raise ValueError(f"`what` must name some of {_PARTS}, got {what!r}.")
    return tuple(part for part in _PARTS if part in what)


def _choose(model, parts):
    """Ids of the variables to train, and reasons for some of the others."""
    chosen, reasons = set(), {}
    layers = all_layers(model)
    if "bias" in parts:
        # Recurrent layers, attention and the like have their biases in cells and projections.
        chosen |= {id(v) for v in model.variables if v.name == "bias" or v.name.endswith("_bias")}
    for layer in layers:
        if "norm" in parts and isinstance(layer, _NORMALIZATION):
            chosen |= {id(variable) for variable in layer.trainable_variables}
        if "lora" in parts and isinstance(layer, MaskLoRA):
            chosen |= {id(layer.lora_a), id(layer.lora_b)}
    if "head" in parts:
        prunable = prunable_ids(model)
        for variable in _head(model, layers).trainable_variables:
            if id(variable) in prunable and has_zeros(variable):
                reasons[id(variable)] = "the kernel of the head is pruned, training would fill it"
            else:
                chosen.add(id(variable))
    return chosen, reasons


def _head(model, layers):
    last = last_weighted_layer(model)
    around = [layer for layer in layers if isinstance(layer, MaskLoRA) and layer.layer is last]
    return around[0] if around else last


def _free(path, taken):
    """Layers of a subclassed model may share a name."""
    name, number = path, 1
    while name in taken:
        number += 1
        name = f"{path}:{number}"
    return name
