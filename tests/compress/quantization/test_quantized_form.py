"""Codes and ranges of a quantization-aware model."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import dense_model, normal, numpy


def aware(**arguments):
    return kc.quantize_aware(
        dense_model(), weights=3, activations=8, calibration_data=normal(9, 8), **arguments
    )


def test_the_codes_stand_for_the_weights_of_the_frozen_model():
    model = aware()
    form = kc.quantization.quantized_form(model)
    frozen = kc.freeze(model, activations="drop")
    ((path, matrix),) = form.matrices.items()
    assert path == form.model.layers[0].kernel.path
    np.testing.assert_array_equal(matrix.values(), numpy(frozen.layers[0].kernel))
    np.testing.assert_array_equal(matrix.values(), numpy(form.model.layers[0].kernel))


def test_ranges_round_as_the_quantizer_does():
    model = aware()
    (range_,) = kc.quantization.quantized_form(model).ranges.values()
    (quantizer,) = model.layers[0].input_quantizers.values()
    x = normal(50, 8, seed=4) * 3.0
    low, high = range_.code_range
    codes = np.clip(np.rint(x / np.float32(range_.scale)) + range_.zero_point, low, high)
    expected = (codes - range_.zero_point) * np.float32(range_.scale)
    np.testing.assert_allclose(numpy(quantizer(x)), expected, rtol=1e-6)


def test_ranges_are_kept_dropped_or_refused():
    model = aware()
    assert set(kc.quantization.quantized_form(model).ranges) == {"dense"}
    assert not kc.quantization.quantized_form(model, activations="drop").ranges
    with pytest.raises(ValueError, match="quantized_form: layers .'dense'."):
        kc.quantization.quantized_form(model, activations="error")


def test_plain_models_are_refused():
    with pytest.raises(ValueError, match="has no QuantizeAware"):
        kc.quantization.quantized_form(dense_model())
    with pytest.raises(TypeError, match="model"):
        kc.quantization.quantized_form(keras.layers.Dense(2))
