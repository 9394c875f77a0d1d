"""Quantized outputs: where, scales, values on the grid, and back."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.quantization.common import Drawn, normal, numpy

X = normal(16, 4)


def network():
    inputs = keras.Input((4,))
    dense = layers.Dense(4, kernel_initializer=Drawn(), name="dense")(inputs)
    added = layers.Add(name="added")([dense, inputs])
    bare = added + dense
    joined = layers.Concatenate(name="joined")([bare, inputs])
    return keras.Model(inputs, layers.ReLU(name="last")(joined))


@pytest.fixture(scope="module")
def quantized():
    return kc.quantization.quantize_outputs(network(), 4, calibration_data=X)


def test_merging_layers_and_operations_are_taken(quantized):
    found = [one.name for one in quantized.layers if isinstance(one, kc.layers.QuantizeActivation)]
    assert len(found) == 3 and {"added_output", "joined_output"} <= set(found)
    model = network()
    added = numpy(keras.Model(model.input, model.get_layer("added").output)(X))
    quantizer = quantized.get_layer("added_output").activation_quantizer
    scale = numpy(quantizer.scale.value)
    np.testing.assert_allclose(scale, 2 * np.abs(added).mean() / np.sqrt(7), rtol=1e-5)
    outputs = numpy(quantized(X))
    step = numpy(quantized.get_layer("joined_output").activation_quantizer.scale.value)
    np.testing.assert_allclose(outputs / step, np.round(outputs / step), atol=1e-4)
    assert np.unique(outputs).size <= 9


def test_summary_training_and_freezing(quantized):
    summary = kc.quantization.quantization_summary(quantized)
    assert [row.activation_bits for row in summary.layers] == [4, 4, 4]
    assert summary.packed_bytes == summary.float_bytes + 12
    aware = kc.quantize_aware(quantized, weights=8)
    aware.compile(keras.optimizers.SGD(0.1), "mse")
    before = numpy(aware.get_layer("added_output").activation_quantizer.scale.value)
    aware.train_on_batch(X, np.ones((16, 8), "float32"))
    assert numpy(aware.get_layer("added_output").activation_quantizer.scale.value) != before
    with pytest.raises(ValueError, match="'added_output'.*activations='drop'"):
        kc.freeze(aware)
    stored = kc.quantization.quantized_form(aware)
    assert set(stored.report["outputs"]) >= {"added_output", "joined_output"}
    assert [type(one) for one in stored.model.layers] == [type(one) for one in network().layers]


def test_any_layer_by_name_with_a_quantizer():
    quantizer = kc.quantizers.LSQQuantizer(8, signed=False)
    model = keras.Sequential([keras.Input((4,)), layers.ReLU(name="last")])
    quantized = kc.quantization.quantize_outputs(
        model, {"last": quantizer}, calibration_data=np.abs(X)
    )
    assert [one.name for one in quantized.layers] == ["last", "last_output"]
    assert not quantized.layers[1].activation_quantizer.signed


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"bits": {"nowhere": 4}, "calibration_data": X}, "no layer matches 'nowhere'"),
        ({"bits": 9, "calibration_data": X}, "got 9"),
        ({}, "calibration_data"),
        ({"calibration_data": []}, "does not reach"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kc.quantization.quantize_outputs(network(), **arguments)


def test_nothing_to_take_and_wrong_quantizers():
    plain = keras.Sequential([keras.Input((4,)), layers.ReLU()])
    with pytest.raises(ValueError, match="no layer to quantize the output of"):
        kc.quantization.quantize_outputs(plain, calibration_data=X)
    with pytest.raises(TypeError, match="`quantizer`"):
        kc.layers.QuantizeActivation(8)
    with pytest.raises(ValueError, match="for weights only"):
        kc.layers.QuantizeActivation(kc.quantizers.StatsQuantizer(4))
