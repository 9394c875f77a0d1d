"""Bytes, counted by hand."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.quantization.common import dense_model, normal


def test_codes_scales_and_everything_else():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(5, 3, name="conv", kernel_initializer="ones"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(2, name="depthwise", depthwise_initializer="ones"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7, name="head", kernel_initializer="ones"),
        ]
    )
    conv, norm, depthwise, head = 3 * 3 * 3 * 5, 4 * 5, 2 * 2 * 5, 5 * 7
    biases = 5 + 5 + 7
    as_floats = 4 * (conv + norm + depthwise + head + biases)
    assert kc.quantization.packed_size(model) == as_floats
    quantized = kc.quantize_aware(model, weights={"conv": 3, "depthwise": 2})
    codes = int(np.ceil(conv * 3 / 8)) + int(np.ceil(depthwise * 2 / 8))
    scales = 4 * (5 + 5)
    expected = codes + scales + 4 * (norm + head + biases)
    assert kc.quantization.packed_size(quantized) == expected
    summary = kc.quantization.quantization_summary(quantized)
    assert (summary.float_bytes, summary.packed_bytes) == (as_floats, expected)


def test_the_scale_of_an_activation():
    quantized = kc.quantize_aware(
        dense_model(), weights=None, activations=8, calibration_data=normal(4, 8)
    )
    assert kc.quantization.packed_size(quantized) == 4 * (8 * 4 + 4) + 4


def test_other_dtypes_count_at_their_width():
    model = dense_model(dtype="float16")
    assert kc.quantization.packed_size(model) == 2 * (8 * 4 + 4)
    assert kc.quantization.packed_size(kc.quantize_aware(model, weights=8)) == 32 + 16 + 8


def test_bad_models_are_refused():
    with pytest.raises(TypeError, match="`model`"):
        kc.quantization.packed_size(3)
    with pytest.raises(ValueError, match="not built"):
        kc.quantization.packed_size(keras.Sequential([layers.Dense(2)]))


def test_a_quantized_model_counts_as_the_model_it_comes_from():
    x = normal(4, 8)
    aware = kc.quantize_aware(dense_model(), weights=3, activations=8, calibration_data=x)
    form = kc.quantization.quantized_form(aware)
    assert kc.quantization.packed_size(form) == kc.quantization.packed_size(aware)
