"""Keras' own quantized layers: what their variables mean, in one place.

Keras documents how to quantize a layer, not what is in its variables afterwards. That an int8
kernel comes with the reciprocal of the step, that 4-bit codes lie in pairs in a byte along the last
axis, and that a 4-bit layer with groups has the step itself is known here and nowhere else.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import quantizers

#: Layers with codes of their own, and the name of the variable that holds these.
_KERNELS = {
    keras.layers.Dense: "kernel",
    keras.layers.EinsumDense: "kernel",
    keras.layers.Embedding: "embeddings",
}


def quantizable_variable(layer: keras.layers.Layer) -> keras.Variable | None:
    """The variable Keras would quantize; `None` for layers it has no codes for.

    Subclasses are left out, as in Keras: their `call` may compute something else.
    """
    name = _KERNELS.get(type(layer))
    return None if name is None else _own(layer).get(name)


def reduced_axes(layer: keras.layers.Layer) -> tuple[int, ...]:
    """Axes of that variable which share a scale in Keras' layers."""
    if isinstance(layer, keras.layers.Embedding):
        return (1,)
    if isinstance(layer, keras.layers.Dense):
        return (0,)
    operands, output = layer.equation.replace(" ", "").split("->")
    kernel = operands.split(",")[1].replace("...", "")
    return tuple(index for index, letter in enumerate(kernel) if letter not in output)


def make_int8(
    layer: keras.layers.Layer, codes: np.ndarray, scale: np.ndarray, activation: Any = None
) -> None:
    """Turn a float layer into Keras' int8 layer with these codes.

    `codes` have the shape of the variable, `scale` (the step) the same with 1 for reduced axes.
    `activation` is a Keras quantizer for the input, `None` for float inputs.
    """
    layer.quantize(
        "int8",
        config=quantizers.Int8QuantizationConfig(
            weight_quantizer=_Known(codes.astype("int8"), scale), activation_quantizer=activation
        ),
    )
    # The codes are in the variables now; the configuration of the layer must not hold them.
    layer.quantization_config = quantizers.Int8QuantizationConfig(activation_quantizer=activation)


def make_int4(
    layer: keras.layers.Layer,
    codes: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray | None,
    block_size: int | None,
) -> None:
    """Turn a float layer into Keras' int4 layer with these codes, in -8..7.

    `codes` are `(rows, outputs)`. Without blocks `scale` is `(1, outputs)` and there is no zero
    point; with blocks of `block_size` rows both are `(blocks, outputs)`.
    """
    layer.quantize("int4", config=quantizers.Int4QuantizationConfig(block_size=block_size))
    name = _KERNELS[type(layer)]
    own = _own(layer)
    of_rows = isinstance(layer, keras.layers.Embedding)
    turned = codes.T if of_rows else codes
    packed, _, _ = quantizers.pack_int4(keras.ops.convert_to_tensor(turned, "int8"), axis=-1)
    own[name].assign(packed)
    if block_size is None:
        own[f"{name}_scale"].assign(1.0 / scale[0])
        return
    own[f"{name}_scale"].assign(scale.T if of_rows else scale)
    zero_point = np.zeros(scale.shape) if zero_point is None else zero_point
    own[f"{name}_zero"].assign((zero_point.T if of_rows else zero_point).astype("int8"))


def quantized_values(layer: keras.layers.Layer) -> np.ndarray:
    """The variable a quantized layer computes with, float32 of `(rows, outputs)`.

    Only for layers made by `make_int8` (of the shape of the variable) and `make_int4`.
    """
    name = _KERNELS[type(layer)]
    own = {key: keras.ops.convert_to_numpy(one.value) for key, one in _own(layer).items()}
    scale = own[f"{name}_scale"].astype("float32")
    of_rows = isinstance(layer, keras.layers.Embedding)
    if layer.quantization_mode == "int8":
        return _int8_values(layer, own[name].astype("float32"), scale)
    columns = scale.shape[-1] if not of_rows else layer.output_dim
    unpacked = quantizers.unpack_int4(keras.ops.convert_to_tensor(own[name]), columns, axis=-1)
    codes = keras.ops.convert_to_numpy(unpacked).astype("float32")
    codes = codes.T if of_rows else codes
    if f"{name}_zero" not in own:
        return codes / scale.reshape(1, -1)
    group = own["g_idx"].astype("int64")
    zero = own[f"{name}_zero"].astype("float32")
    scale, zero = (array.T if of_rows else array for array in (scale, zero))
    return (codes - zero[group]) * scale[group]


def quantization_recipe(layer: keras.layers.Layer) -> dict[str, Any] | None:
    """Mode and configuration that turn a float layer into one like `layer`; `None` if it is one."""
    # Containers answer with the mode of a policy that is not theirs to carry out.
    mode = getattr(layer, "quantization_mode", None)
    if mode is None or not getattr(layer, "_is_quantized", False):
        return None
    config = getattr(layer, "quantization_config", None)
    if config is None and mode == "int4":
        size = layer.dtype_policy.block_size
        config = quantizers.Int4QuantizationConfig(block_size=None if size == -1 else size)
    return {"mode": mode, "config": keras.saving.serialize_keras_object(config)}


def apply_recipe(layer: keras.layers.Layer, recipe: dict[str, Any]) -> None:
    """Quantize a built layer as `quantization_recipe` says, unless it already is."""
    if quantization_recipe(layer) is None:
        config = keras.saving.deserialize_keras_object(recipe["config"])
        layer.quantize(recipe["mode"], type_check=False, config=config)


def _own(layer):
    """Variables of a layer by their names, those of layers inside it left out."""
    inner = {
        id(variable)
        for one in layer._flatten_layers(include_self=False)
        for variable in one.variables
    }
    return {one.name: one for one in layer.variables if id(one) not in inner}


def _int8_values(layer, codes, scale):
    if not isinstance(layer, keras.layers.EinsumDense):
        return codes / (scale[:, None] if isinstance(layer, keras.layers.Embedding) else scale)
    return codes / keras.ops.convert_to_numpy(layer._adjust_scale_for_dequant(scale))


class _Known(keras.quantizers.Quantizer):
    """Answers with codes that are already known."""

    def __init__(self, codes, scale):
        super().__init__("int8")
        self._codes, self._scale = codes, scale

    def __call__(self, x, axis=None, to_numpy=False):
        dtype = keras.backend.standardize_dtype(x.dtype)
        return (
            keras.ops.convert_to_tensor(self._codes),
            keras.ops.convert_to_tensor(1.0 / self._scale, dtype=dtype),
        )
