"""What the methods that start LoRA share: which layers, the split of a kernel, freezing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_reweight.core.selection import layers_by_path, leaf_layers, select_layers
from keras_reweight.core.state import rebuild_step_functions
from keras_reweight.core.validation import check_integer, check_number
from keras_reweight.signatures.live_weights import assign_all, read_variable

_KINDS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
    keras.layers.EinsumDense,
)
ADAPTERS = ("lora_kernel_a", "lora_kernel_b")


def lora_layers(model: keras.Model, layers: Any) -> dict[str, keras.layers.Layer]:
    """Path -> layer of the chosen layers that can have LoRA and have none."""
    chosen = select_layers(model, layers, accept=refusal, candidates=leaf_layers(model)).touched
    paths = {id(layer): path for path, layer in layers_by_path(model).items()}
    return {paths[id(layer)]: layer for layer in chosen}


def refusal(layer: Any) -> str | None:
    """Why a layer cannot get LoRA now, or `None`."""
    if not isinstance(layer, _KINDS) or not hasattr(layer, "enable_lora"):
        return "no layer with a kernel that Keras has LoRA for"
    if layer.lora_enabled:
        return "has LoRA already: save the model and load it, which merges it"
    if getattr(layer, "quantization_mode", None) is not None:
        return "is quantized"
    if layer.kernel_constraint is not None:
        return "has a kernel constraint"
    if getattr(layer, "groups", 1) != 1:
        return "is a convolution in groups"
    return None


def check_lora(rank: Any, alpha: Any) -> None:
    """Raise unless these are a rank and an alpha of LoRA."""
    check_integer("rank", rank, minimum=1)
    if alpha is not None:
        check_number("alpha", alpha, exclusive_minimum=0.0)


def kernel_of(layer: keras.layers.Layer) -> keras.Variable:
    """The kernel variable, without LoRA."""
    return next(variable for variable in layer.weights if variable.name == "kernel")


def adapters_of(layer: keras.layers.Layer) -> tuple[keras.Variable, keras.Variable]:
    return layer.lora_kernel_a, layer.lora_kernel_b


def matrix_of(layer: keras.layers.Layer) -> np.ndarray:
    """The kernel without LoRA as `(inputs, outputs)` in float64: LoRA's last axis is the last."""
    value = read_variable(kernel_of(layer)).astype("float64")
    return value.reshape(-1, value.shape[-1])


def start_lora(
    layer: keras.layers.Layer, rank: int, alpha: float | None, a: np.ndarray, b: np.ndarray
) -> None:
    """Enable LoRA with these factors, and take them out of the kernel: the layer stays the same."""
    kernel = kernel_of(layer)
    full = read_variable(kernel)
    layer.enable_lora(rank, lora_alpha=alpha)
    scale = layer.lora_alpha / layer.lora_rank
    a_variable, b_variable = adapters_of(layer)
    stored_a, stored_b = a.astype("float32"), b.astype("float32")
    inside = scale * (stored_a.astype("float64") @ stored_b.astype("float64"))
    frozen = full.astype("float64") - inside.reshape(full.shape)
    assign_all(
        [
            (kernel, frozen.astype(full.dtype)),
            (a_variable, stored_a.reshape(tuple(a_variable.shape))),
            (b_variable, stored_b),
        ]
    )


def freeze_the_rest(model: keras.Model) -> None:
    """Make the factors of LoRA all that is trained; batch normalization keeps its statistics."""
    for layer in leaf_layers(model):
        if not getattr(layer, "lora_enabled", False):
            layer.trainable = False
    for variable in model.trainable_variables:
        if not is_adapter(variable):
            variable.trainable = False
    # Functions traced before would go on without LoRA, on what is left of the kernels.
    rebuild_step_functions(model)
    model.predict_function = None


def is_adapter(variable: keras.Variable) -> bool:
    return variable.name in ADAPTERS
