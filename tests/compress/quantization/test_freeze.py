"""freeze: plain layers, values on the grid bit for bit, nothing of the package left."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from tests.compress.quantization.common import (
    Drawn,
    assert_bitwise_equal,
    dense_model,
    normal,
    numpy,
    weights_of,
)

X = normal(4, 4, 4, 2)


def quantized_network():
    """A branched model with a nested one; weights, scales and statistics as after training."""
    inputs = keras.Input((4, 4, 2))
    hidden = layers.Conv2D(4, 3, padding="same", name="conv", kernel_initializer=Drawn())(inputs)
    hidden = layers.BatchNormalization(name="norm")(hidden)
    branch = layers.DepthwiseConv2D(
        3, padding="same", name="depthwise", depthwise_initializer=Drawn()
    )(hidden)
    z = keras.Input((4, 4, 4))
    nested = keras.Model(z, layers.GlobalAveragePooling2D()(z), name="pool")
    outputs = layers.Dense(3, name="head", kernel_initializer=Drawn())(nested(hidden + branch))
    bits = {"conv": 3, "head": kc.quantizers.StatsQuantizer(5), "*": 2}
    quantized = kc.quantize_aware(keras.Model(inputs, outputs), weights=bits)
    for index, variable in enumerate(quantized.weights):
        change = 1.0 + 0.3 * np.abs(normal(*variable.shape, seed=index))
        variable.assign(numpy(variable.value) * change)
    return quantized


def test_plain_model_with_the_same_outputs_and_kernels_on_the_grid(tmp_path):
    quantized = quantized_network()
    before = weights_of(quantized)
    plain = kc.freeze(quantized)
    np.testing.assert_allclose(numpy(plain(X)), numpy(quantized(X)), rtol=1e-6, atol=1e-6)
    for name in ("conv", "depthwise", "head"):
        wrapper = quantized.get_layer(name)
        assert type(plain.get_layer(name)) is type(wrapper.layer)
        variable, quantizer = wrapper.quantized_matrices()["kernel"]
        found = numpy(plain.get_layer(name).kernel.value)
        assert_bitwise_equal(found, numpy(quantizer(variable.value)))
        codes, scale, zero_point = quantizer.codes(variable)
        codes = numpy(codes).astype("float32")
        assert_bitwise_equal(found, (codes - np.float32(zero_point)) * numpy(scale))
        assert np.any(found != numpy(variable.value))
    np.testing.assert_array_equal(
        numpy(plain.get_layer("norm").moving_mean.value),
        numpy(quantized.get_layer("norm").moving_mean.value),
    )
    for old, new in zip(before, weights_of(quantized), strict=True):
        np.testing.assert_array_equal(old, new)
    plain.save(tmp_path / "plain.keras")
    with zipfile.ZipFile(tmp_path / "plain.keras") as archive:
        config = archive.read("config.json").decode()
    assert "keras_compress" not in config and "keras_reweight" not in config
    assert "Quantize" not in config
    loaded = keras.saving.load_model(tmp_path / "plain.keras", safe_mode=True)
    assert_bitwise_equal(numpy(loaded(X)), numpy(plain(X)))


def test_weights_fit_the_model_that_was_quantized():
    model = dense_model()
    plain = kc.freeze(kc.quantize_aware(model, weights=3))
    assert type(plain) is keras.Sequential and not plain.compiled
    assert [layer.name for layer in plain.layers] == ["dense"]
    model.set_weights(plain.get_weights())


def test_quantized_activations_are_never_dropped_silently():
    x = normal(20, 8)
    quantized = kc.quantize_aware(dense_model(), weights=4, activations=2, calibration_data=x)
    with pytest.raises(ValueError, match="'dense'.*activations='drop'"):
        kc.freeze(quantized)
    plain = kc.freeze(quantized, activations="drop")
    assert type(plain.layers[0]) is layers.Dense
    assert np.abs(numpy(plain(x)) - numpy(quantized(x))).max() > 1e-3
    with pytest.raises(ValueError, match="`activations`.* got 'keep'"):
        kc.freeze(quantized, activations="keep")


def test_flags_state_and_configuration_of_the_layers_stay():
    model = dense_model(
        trainable=False, kernel_regularizer="l2", kernel_constraint="max_norm", activation="tanh"
    )
    config = model.layers[0].get_config()
    plain = kc.freeze(kc.quantize_aware(model, weights=8))
    assert plain.layers[0].get_config() == config
    assert plain.trainable_variables == []


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_other_precisions(policy):
    keras.config.set_dtype_policy(policy)
    try:
        quantized = kc.quantize_aware(dense_model(), weights=4)
        plain = kc.freeze(quantized)
    finally:
        keras.config.set_dtype_policy("float32")
    x = ops.convert_to_tensor(normal(5, 8))
    difference = ops.cast(plain(x), "float32") - ops.cast(quantized(x), "float32")
    np.testing.assert_array_equal(numpy(difference), 0.0)
    assert plain.layers[0].dtype_policy.name == policy


def test_models_without_anything_to_freeze_are_refused():
    with pytest.raises(ValueError, match="has no QuantizeAware layer"):
        kc.freeze(dense_model())
    with pytest.raises(ValueError, match="not built"):
        kc.freeze(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(TypeError, match="`model`"):
        kc.freeze("model")
    quantized = kc.quantize_aware(dense_model())
    quantized.layers[0].layer.kernel.assign(np.full((8, 4), np.nan, "float32"))
    with pytest.raises(ValueError, match="'dense': kernel has values that are not finite"):
        kc.freeze(quantized)
