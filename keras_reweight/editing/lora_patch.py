"""What LoRA has learned, as a patch of the model without LoRA."""

from __future__ import annotations

import keras

from keras_reweight.core.selection import all_layers
from keras_reweight.core.validation import check_built
from keras_reweight.editing._lora import adapters_of, is_adapter, kernel_of
from keras_reweight.signatures import codecs
from keras_reweight.signatures.architecture import Architecture
from keras_reweight.signatures.live_weights import read_variable, read_weights
from keras_reweight.signatures.patch import Patch
from keras_reweight.signatures.weight_snapshot import WeightSnapshot


def lora_patch(
    model: keras.Model, before: keras.Model | WeightSnapshot, *, name: str = "lora"
) -> Patch:
    """Make a `Patch` of a model that was trained with LoRA.

    LoRA cannot be taken off a Keras model again, and a file of it has the update merged. The patch
    holds what training changed, for the model as it was without LoRA: apply it to a model loaded
    from the old file, scale it, add it to others, take it off bit for bit, or save it; an update
    of low rank is stored in little space by `patch.compress("low_rank_int8", rank=...)`.

    Args:
        model: A built `keras.Model` with LoRA on some layers, trained.
        before: A `WeightSnapshot` of it from before LoRA was enabled, or a model without LoRA that
            has the weights from before.
        name: String, of the patch. Defaults to `"lora"`.

    Returns:
        A `Patch` of kind `"lora"` with the weights that have changed.

    Raises:
        TypeError: If `model` is no model or `before` neither model nor snapshot.
        ValueError: If the architectures differ apart from LoRA, or nothing has changed.

    Example:

    ```python
    import keras
    import numpy as np
    import keras_reweight as kr

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="head")])
    before = kr.WeightSnapshot(model)
    head = model.get_layer("head")
    head.enable_lora(1)
    head.lora_kernel_b.assign(np.ones((1, 2)))
    patch = kr.editing.lora_patch(model, before)
    assert patch.paths == ("head/kernel",)
    ```

    Reference:
        Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, arXiv
        2106.09685, section 4.1.

    Cost:
        Host memory of a float64 copy of the changed weights.
    """
    check_built(model, "lora_patch")
    if not isinstance(before, WeightSnapshot):
        check_built(before, "lora_patch", "before")
        before = WeightSnapshot(before)
    kept = [i for i, variable in enumerate(model.weights) if not is_adapter(variable)]
    whole = Architecture.of(model)
    Architecture(tuple(whole[i] for i in kept)).check(
        before.architecture, "`before`, compared with `model` without LoRA,"
    )
    position = {id(variable): index for index, variable in enumerate(model.weights)}
    weights = read_weights(model, kept)
    arrays = {i: weights[i].astype("float64") for i in kept if whole[i].is_float}
    for layer in all_layers(model):
        if getattr(layer, "lora_enabled", False) and hasattr(layer, "lora_kernel_a"):
            a, b = (read_variable(factor).astype("float64") for factor in adapters_of(layer))
            update = (layer.lora_alpha / layer.lora_rank) * (a @ b)
            arrays[position[id(kernel_of(layer))]] += update
    deltas = {}
    for place, index in enumerate(kept):
        if index in arrays:
            delta = arrays[index] - before.arrays[place].astype("float64")
            if delta.any():
                deltas[place] = delta
    if not deltas:
        raise ValueError(
            "`model` has the weights of `before`: there is nothing to make a patch of."
        )
    entries = codecs.encode_all(before.architecture, deltas.items(), codec="float64")
    return Patch(before.architecture, entries, name=name, kind="lora")
