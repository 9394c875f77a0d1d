"""Packed files: bit-identical, as small as promised, reproducible."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.quantization.common import (
    Drawn,
    assert_bitwise_equal,
    dense_model,
    normal,
    numpy,
)

MIXED = {"conv": 3, "depthwise": 2, "head": kc.quantizers.StatsQuantizer(5, axis=None)}


def model():
    inputs = keras.Input((6, 6, 2))
    hidden = layers.Conv2D(4, 3, name="conv", kernel_initializer=Drawn())(inputs)
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.DepthwiseConv2D(3, name="depthwise", depthwise_initializer=Drawn())(hidden)
    hidden = layers.Dense(5, name="float", kernel_initializer=Drawn())(layers.Flatten()(hidden))
    return keras.Model(inputs, layers.Dense(3, name="head", kernel_initializer=Drawn())(hidden))


def test_loads_to_the_frozen_model_bit_for_bit(tmp_path):
    quantized = kc.quantize_aware(model(), weights=MIXED)
    path = tmp_path / "folder" / "model.safetensors"
    kc.quantization.save_packed(quantized, path)
    loaded, frozen = kc.quantization.load_packed(path), kc.freeze(quantized)
    for found, expected in zip(loaded.weights, frozen.weights, strict=True):
        assert_bitwise_equal(numpy(found.value), numpy(expected.value))
        assert found.path == expected.path
    x = normal(3, 6, 6, 2)
    assert_bitwise_equal(numpy(loaded(x)), numpy(frozen(x)))
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in frozen.layers]


def test_the_file_holds_what_packed_size_counts_and_a_header(tmp_path):
    sizes = {}
    for bits in (2, 4, 8):
        quantized = kc.quantize_aware(dense_model(256, 512), weights=bits)
        path = tmp_path / f"{bits}.safetensors"
        kc.quantization.save_packed(quantized, path)
        sizes[bits] = path.stat().st_size
        header = sizes[bits] - kc.quantization.packed_size(quantized)
        assert 0 < header < 4000
    assert sizes[8] - sizes[4] == pytest.approx(256 * 512 / 2, abs=16)


def test_equal_models_give_equal_files(tmp_path):
    quantized = kc.quantize_aware(dense_model(), weights=4)
    for name in ("a", "b"):
        kc.quantization.save_packed(quantized, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_half_precision_variables(tmp_path):
    for dtype in ("float16", "bfloat16"):
        quantized = kc.quantize_aware(dense_model(dtype=dtype), weights=4)
        kc.quantization.save_packed(quantized, tmp_path / dtype)
        loaded = kc.quantization.load_packed(tmp_path / dtype)
        for found, expected in zip(loaded.weights, kc.freeze(quantized).weights, strict=True):
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(
                numpy(found.value).astype("float32"), numpy(expected.value).astype("float32")
            )


def test_activations_are_refused_or_dropped(tmp_path):
    quantized = kc.quantize_aware(
        dense_model(), weights=4, activations=8, calibration_data=normal(9, 8)
    )
    path = tmp_path / "model"
    with pytest.raises(ValueError, match="save_packed: layers .'dense'."):
        kc.quantization.save_packed(quantized, path)
    assert not path.exists()
    kc.quantization.save_packed(quantized, path, activations="drop")
    loaded = kc.quantization.load_packed(path)
    frozen = kc.freeze(quantized, activations="drop")
    assert_bitwise_equal(numpy(loaded.layers[0].kernel.value), numpy(frozen.layers[0].kernel.value))
    assert not kc.quantization.load_packed(path, as_="quantized").ranges
    kc.quantization.save_packed(quantized, path, activations="keep")
    assert kc.quantization.load_packed(path, as_="quantized").ranges


def test_plain_models_are_refused(tmp_path):
    with pytest.raises(ValueError, match="save_packed: model .* has no QuantizeAware"):
        kc.quantization.save_packed(dense_model(), tmp_path / "model")
