"""What is known about Keras' quantized layers is still so."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_reweight.core.keras_quantized import (
    apply_recipe,
    make_int4,
    make_int8,
    quantizable_variable,
    quantization_recipe,
    quantized_values,
    reduced_axes,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 6)).astype("float32")
LAYERS = {
    "dense": (lambda: layers.Dense(7), (0,)),
    "heads": (lambda: layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (0,)),
    "moved": (lambda: layers.EinsumDense("abc,cd->adb", (3, None)), (0,)),
    "rows last": (lambda: layers.EinsumDense("abc,dc->abd", (None, 3)), (1,)),
    "embedding": (lambda: layers.Embedding(5, 6), (1,)),
}


def built(name):
    make, axes = LAYERS[name]
    layer = make()
    layer.build(() if name == "embedding" else (None, 4, 6))
    return layer, axes


def outputs(layer):
    x = np.arange(5) if isinstance(layer, layers.Embedding) else X
    return ops.convert_to_numpy(layer(x))


@pytest.mark.parametrize("name", LAYERS)
def test_int8_layers_compute_with_the_codes(name):
    layer, axes = built(name)
    variable = quantizable_variable(layer)
    assert reduced_axes(layer) == axes
    codes = RNG.integers(-128, 128, variable.shape)
    scale = RNG.uniform(0.01, 0.02, np.where(np.isin(range(codes.ndim), axes), 1, codes.shape))
    variable.assign(codes * scale)
    expected = outputs(layer)
    make_int8(layer, codes, scale.astype("float32"))
    np.testing.assert_allclose(outputs(layer), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(quantized_values(layer), codes * scale, rtol=1e-6)
    assert layer.dtype_policy.name == "int8_from_float32"
    # Codes are in the variables, not in the configuration.
    assert layer.get_config()["quantization_config"]["config"]["weight_quantizer"] is None


@pytest.mark.parametrize("block_size", [None, 4])
@pytest.mark.parametrize("name", ["dense", "heads", "embedding"])
def test_int4_layers_compute_with_the_codes(name, block_size):
    layer, axes = built(name)
    variable = quantizable_variable(layer)
    size = int(np.prod(variable.shape)) // 6
    codes = RNG.integers(-8, 8, (6, size))
    groups = 1 if block_size is None else 2
    scale = RNG.uniform(0.1, 0.2, (groups, size)).astype("float32")
    zero = None if block_size is None else RNG.integers(-20, 20, (groups, size))
    repeat = 6 if block_size is None else 4
    shift = 0 if zero is None else np.repeat(zero, repeat, axis=0)[:6]
    values = (codes - shift) * np.repeat(scale, repeat, axis=0)[:6]
    variable.assign((values.T if name == "embedding" else values).reshape(variable.shape))
    expected = outputs(layer)
    make_int4(layer, codes, scale, zero, block_size)
    np.testing.assert_allclose(outputs(layer), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(quantized_values(layer), values, rtol=1e-6)
    assert layer.dtype_policy.name == f"int4/{block_size or -1}_from_float32"


def test_only_layers_keras_quantizes_itself():
    class Own(layers.Dense):
        pass

    for layer in (Own(3), layers.Conv1D(3, 2)):
        layer.build((None, 4, 6))
        assert quantizable_variable(layer) is None


def test_recipes():
    layer, _ = built("dense")
    assert quantization_recipe(layer) is None
    layer.quantize("int4", config=keras.quantizers.Int4QuantizationConfig(block_size=3))
    recipe = quantization_recipe(layer)
    other, _ = built("dense")
    apply_recipe(other, recipe)
    assert other.dtype_policy.name == "int4/3_from_float32"
    apply_recipe(other, recipe)  # once is enough
    direct = layers.Dense(7, dtype="int4/3_from_float32")
    direct.build((None, 6))
    assert quantization_recipe(direct) == recipe
    attention = layers.MultiHeadAttention(1, 2)
    assert quantization_recipe(attention) is None


def test_keras_still_cannot_load_attention(tmp_path):
    """Once it can, `save_quantized` is needed no more for these."""
    inputs = keras.Input((2, 3))
    model = keras.Model(inputs, layers.MultiHeadAttention(1, 2)(inputs, inputs))
    model.quantize("int8", filters=lambda layer: isinstance(layer, layers.EinsumDense))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="could not be loaded"):
        keras.saving.load_model(tmp_path / "model.keras")
