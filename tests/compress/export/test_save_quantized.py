"""Models that Keras has quantized come back, attention and all."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_compress.export.quantized_format import KIND, own_variables
from keras_reweight.core.files import load_arrays, save_arrays
from keras_reweight.core.keras_quantized import quantization_recipe
from keras_reweight.core.selection import layers_by_path
from tests.compress.export.quantized import (
    ROUNDED,
    dense_model,
    fill,
    on_grid,
)

RNG = np.random.default_rng(3)
X = RNG.normal(size=(6, 8)).astype("float32")


def assert_equal(found, wanted):
    """The same variables, whatever their order, and the same layers."""
    found_by, wanted_by = own_variables(found), own_variables(wanted)
    assert set(found_by) == set(wanted_by)
    for key, variable in wanted_by.items():
        assert found_by[key].dtype == variable.dtype
        np.testing.assert_array_equal(*(ops.convert_to_numpy(o) for o in (found_by[key], variable)))
    modes = [
        {path: found["mode"] for path, one in layers.items() if (found := quantization_recipe(one))}
        for layers in map(layers_by_path, (found, wanted))
    ]
    assert modes[0] == modes[1]


def outputs(model, x):
    return ops.convert_to_numpy(model(x))


@pytest.mark.parametrize(
    "config",
    [
        keras.quantizers.Int8QuantizationConfig(),
        keras.quantizers.Int4QuantizationConfig(block_size=2),
        keras.quantizers.Float8QuantizationConfig(),
    ],
    ids=lambda config: config.mode,
)
def test_attention_quantized_by_keras(config, tmp_path):
    inputs = keras.Input((2, 8))
    attention = keras.layers.MultiHeadAttention(1, 3, use_bias=False, kernel_initializer="zeros")
    model = fill(keras.Model(inputs, attention(inputs, inputs)))
    model.quantize(config=config, filters=lambda layer: isinstance(layer, keras.layers.EinsumDense))
    path = tmp_path / "folder" / "model"
    kc.export.save_quantized(model, path)
    loaded = kc.export.load_quantized(path)
    assert_equal(loaded, model)
    assert loaded.layers[1].query_dense.quantization_mode == config.mode
    if config.mode == "int4":
        x = X.reshape(3, 2, 8)
        np.testing.assert_array_equal(outputs(loaded, x), outputs(model, x))
    # Once more: a loaded model is like the first.
    kc.export.save_quantized(loaded, tmp_path / "again")
    assert (tmp_path / "again").stat().st_size == path.stat().st_size


def test_layers_built_quantized(tmp_path):
    """Their variables have another order and other paths, and int4 no configuration."""
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, dtype="int4/3_from_float32"),
            keras.layers.Dense(3, dtype="int8_from_float32"),
        ]
    )
    for variable in model.weights:
        if variable.dtype == "float32" and variable.name != "g_idx":
            variable.assign(RNG.uniform(0.5, 1.5, variable.shape))
        elif variable.dtype == "int8":
            variable.assign(RNG.integers(-128, 128, variable.shape))
    kc.export.save_quantized(model, tmp_path / "model")
    assert_equal(kc.export.load_quantized(tmp_path / "model"), model)


def test_codes_of_our_own_with_static_ranges(tmp_path):
    found = kc.export.to_keras_layers(on_grid(dense_model(), ranges={"dense": ROUNDED})).model
    kc.export.save_quantized(found, tmp_path / "model")
    loaded = kc.export.load_quantized(tmp_path / "model")
    np.testing.assert_array_equal(outputs(loaded, X), outputs(found, X))
    assert loaded.layers[0].inputs_quantizer.scale == ROUNDED.scale


def test_equal_models_give_equal_files(tmp_path):
    model = fill(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]))
    model.layers[0].quantize("int8")
    for name in ("a", "b"):
        kc.export.save_quantized(model, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_models_without_layers_of_keras_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no layer quantized by Keras"):
        kc.export.save_quantized(dense_model(), tmp_path / "model")
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4, dtype="gptq/4/4_from_float32")]
    )
    with pytest.raises(ValueError, match="gptq"):
        kc.export.save_quantized(model, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def _header(**changes):
    return lambda arrays, header: header.update(changes)


CHANGES = {
    "`recipes` 3 are no dict": _header(recipes=3),
    "`recipes` name layers .'other'.": _header(recipes={"other": {}}),
    "layer 'dense' cannot be quantized": _header(recipes={"dense": {}}),
    "cannot be quantized as .*Lambda": _header(
        recipes={
            "dense": {
                "mode": "int8",
                "config": keras.saving.serialize_keras_object(keras.layers.Lambda(lambda x: x)),
            }
        }
    ),
    "weights .* for a model": lambda arrays, header: header["weights"][0].update(key="dense/other"),
    "the file has": lambda arrays, header: (
        header["weights"][0].update(shape=[1]),
        arrays.update({"0.values": np.zeros(1, "float32")}),
    ),
}


@pytest.mark.parametrize("message", CHANGES)
def test_inconsistent_files_are_refused(message, tmp_path):
    model = dense_model()
    model.layers[0].quantize("int8")
    kc.export.save_quantized(model, tmp_path / "model")
    arrays, header = load_arrays(tmp_path / "model", kind=KIND)
    del header["kind"]
    CHANGES[message](arrays, header)
    save_arrays(tmp_path / "broken", arrays, kind=KIND, header=header)
    with pytest.raises(ValueError, match=message) as caught:
        kc.export.load_quantized(tmp_path / "broken")
    assert "broken" in str(caught.value)
