"""From low-rank updates back to a plain sparse model."""

from __future__ import annotations

import keras
from keras import ops

from keras_compress._rebuild import (
    check_rebuildable,
    copy_layer,
    copy_state,
    graph_layers,
    rebuild,
)
from keras_compress.retraining.mask_lora import EXAMPLE, MaskLoRA
from keras_reweight.core.validation import check_built


def merge_lora(model: keras.Model) -> keras.Model:
    """A plain model whose kernels have their low-rank updates in them, with the same zeros.

    Use it after training the result of `add_mask_lora`. Each `MaskLoRA` layer is replaced by the
    layer it wraps. A weight that was zero is zero; the outputs are those of `model`, except in mode
    `"prune"`, whose dense update is masked now. The result loads without this package. The given
    model is left untouched.

    Args:
        model: `keras.Model` from `add_mask_lora` or with `MaskLoRA` layers.

    Returns:
        A new `keras.Model` of the same kind, uncompiled, with plain layers of the same names.

    Raises:
        TypeError: If `model` is no `keras.Model`.
        ValueError: If the model is not built, is subclassed, or has no `MaskLoRA` layer.

    Example:

    ```python
    import keras
    import keras_compress as kc

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    merged = kc.retraining.merge_lora(kc.retraining.add_mask_lora(model, rank=2))
    assert type(merged.layers[0]) is keras.layers.Dense
    ```

    Reference:
        Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        arXiv 2312.15230, section 3.3.

    Cost:
        One copy of the model.
    """
    check_built(model, "merge_lora")
    check_rebuildable(model, "merge_lora", EXAMPLE)
    wrappers = {id(one) for one in graph_layers(model) if isinstance(one, MaskLoRA)}
    if not wrappers:
        raise ValueError(
            f"merge_lora: `model` ({model.name!r}) has no MaskLoRA layer. Make one with "
            "`add_mask_lora(model)`."
        )
    result, pairs = rebuild(
        model, lambda layer: copy_layer(layer.layer if id(layer) in wrappers else layer)
    )
    for key, (old, new) in pairs.items():
        if key not in wrappers:
            copy_state(old, new)
            continue
        copy_state(old.layer, new)
        (kernel,) = [v for v in new.variables if v.name == old.kernel.name]
        # Through NumPy: on JAX two variables must not share a buffer.
        kernel.assign(ops.convert_to_numpy(old.effective_kernel(merged=True)))
        kernel.trainable = old.trainable
    return result
