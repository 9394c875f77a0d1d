"""Give the pruned layers of a model low-rank updates."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from keras_compress.pruning.prunable_weights import prunable_ids
from keras_compress.retraining.mask_lora import EXAMPLE, MaskLoRA, check_lora_arguments, refusal
from keras_reweight.core.selection import layers_by_path, select_layers
from keras_reweight.core.validation import check_built


def add_mask_lora(
    model: keras.Model,
    rank: int = 16,
    alpha: float = 32.0,
    *,
    mode: str = "mask",
    layers: Any = None,
    seed: int | None = None,
) -> keras.Model:
    """A copy of a pruned model that trains low-rank updates inside the patterns of its kernels.

    Use it to retrain after pruning where training all weights costs too much memory or time:
    `compile` and `fit` the result, then `merge_lora` it to get a plain model with the same zeros.
    Each chosen layer is replaced by a `MaskLoRA` of the same name, its kernel frozen; biases,
    normalization and all other layers stay trainable (`perp_retrainable` narrows that down). A
    layer that is not pruned gets an ordinary low-rank update. The given model is left untouched.

    Layers that cannot be wrapped (attention, recurrent and depthwise layers) are copied. If they
    are pruned and trainable, a warning names them: training would fill their zeros unless `fit` has
    `keras_compress.callbacks.KeepSparsity()` or they are frozen.

    Args:
        model: Built Functional or Sequential `keras.Model`.
        rank: Integer >= 1. Defaults to `16`.
        alpha: Float > 0; the update is scaled by `alpha / rank`. Defaults to `32.0`.
        mode: `"mask"` (sparse while training), `"scale"` (multiplies the kernel) or `"prune"`
            (dense while training, masked by `merge_lora`), see `MaskLoRA`. Defaults to `"mask"`.
        layers: Layers to wrap: names, `re.Pattern`, predicates, layers, or a list of these; `None`
            for all that can be. Defaults to `None`.
        seed: Integer or `None`, for the start of the updates; every layer draws from its own.
            Defaults to `None`.

    Returns:
        A new `keras.Model` of the same kind, uncompiled.

    Raises:
        TypeError: If `model` is no `keras.Model` or a number is of a wrong kind.
        ValueError: If the model is not built or is subclassed, an argument is outside its range, or
            no layer is left to wrap.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16), keras.layers.Dense(1)])
    kc.prune_magnitude(model, 0.8)
    adapted = kc.retraining.add_mask_lora(model, rank=2, alpha=4)
    adapted.compile(keras.optimizers.AdamW(5e-4, weight_decay=0.0), "mse")  # then `fit` it
    sparse = kc.retraining.merge_lora(adapted)
    assert round(kc.sparsity_report(sparse).sparsity, 2) == 0.8
    ```

    Reference:
        Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        arXiv 2312.15230; github.com/ZIB-IOL/PERP.

    Cost:
        One copy of the model.
    """
    check_built(model, "add_mask_lora")
    check_lora_arguments(rank, alpha, mode, seed)
    check_rebuildable(model, "add_mask_lora", EXAMPLE)
    found = graph_layers(model)
    chosen = select_layers(model, layers, accept=refusal, candidates=found).touched
    numbers = {id(layer): number for number, layer in enumerate(chosen)}
    _warn_of_pruned(model, [layer for layer in found if id(layer) not in numbers])

    def replace(layer):
        if id(layer) not in numbers:
            return copy_layer(layer)
        own = None if seed is None else seed + numbers[id(layer)]
        return MaskLoRA(copy_layer(layer), rank=rank, alpha=alpha, mode=mode, seed=own)

    result, pairs = rebuild(model, replace)
    for key, (old, new) in pairs.items():
        if key not in numbers:
            copy_state(old, new)
            continue
        new.trainable = old.trainable
        copy_state(old, new.layer)
        new.kernel.trainable = False
    return result


def _warn_of_pruned(model, layers):
    prunable = prunable_ids(model)
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    names = [
        paths[id(layer)]
        for layer in layers
        if not isinstance(layer, MaskLoRA)
        if any(id(v) in prunable and has_zeros(v) for v in layer.trainable_variables)
    ]
    if names:
        warnings.warn(
            f"add_mask_lora: layers {names} are pruned, get no low-rank update and stay trainable. "
            "Training would fill their zeros: add `keras_compress.callbacks.KeepSparsity()` to "
            "`fit`, or freeze them (`layer.trainable = False`).",
            stacklevel=3,
        )


def has_zeros(variable: keras.Variable) -> bool:
    """Whether a weight is pruned at all."""
    return not np.all(ops.convert_to_numpy(ops.convert_to_tensor(variable)))
