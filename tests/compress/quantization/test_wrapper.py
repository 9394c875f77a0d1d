"""The wrapper changes the weights a layer computes with, and nothing else."""

import copy

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, gradient, with_keras_mask
from tests.compress.quantization.common import (
    assert_bitwise_equal,
    dense_model,
    mask_of,
    normal,
    numpy,
    weights_of,
)
from tests.compress.quantization.test_supported import SUPPORTED

X, Y = normal(8, 8), normal(8, 4, seed=1)


def lsq(bits=4, **kwargs):
    return kc.quantizers.LSQQuantizer(bits, **kwargs)


@keras.saving.register_keras_serializable(package="test_wrapper")
class Noisy(layers.Dense):
    """A Dense layer with everything a layer may have: losses, state, seeds, `training`."""

    def build(self, input_shape):
        super().build(input_shape)
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
        self.dropout = layers.Dropout(0.5, seed=1)

    def call(self, inputs, training=None):
        outputs = super().call(inputs)
        self.add_loss(0.1 * ops.mean(ops.square(outputs)))
        if training:
            self.calls.assign_add(1.0)
        return self.dropout(outputs, training=training)


def noisy_model(wrap):
    keras.utils.set_random_seed(0)
    layer = Noisy(
        4,
        kernel_regularizer=keras.regularizers.L2(0.5),
        activity_regularizer=keras.regularizers.L2(0.25),
        kernel_constraint=keras.constraints.MaxNorm(0.9),
        name="noisy",
    )
    model = keras.Sequential([keras.Input((8,)), wrap(layer)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("name", SUPPORTED)
def test_output_and_gradient_are_those_of_the_layer_with_quantized_weights(name):
    make, shape, axes = SUPPORTED[name]
    x = normal(2, *shape[1:])
    layer = make()
    wrapper = kc.layers.QuantizeAware(layer, weight=lsq(3))
    wrapper.build(shape)
    plain = type(layer).from_config(layer.get_config())
    plain.build(shape)
    for index, variables in enumerate(zip(layer.weights, plain.weights, strict=True)):
        for variable in variables:
            variable.assign(normal(*variable.shape, seed=index))
    masters = {variable.name: variable for variable in plain.weights}
    assert set(wrapper.weight_quantizers) == set(axes)
    for matrix, (variable, quantizer) in wrapper.quantized_matrices().items():
        kept = [axis % len(variable.shape) for axis in axes[matrix]]
        expected = [size if i in kept else 1 for i, size in enumerate(variable.shape)]
        assert list(quantizer.scale.shape) == expected
        ratio = numpy(variable.value) / numpy(quantizer.scale.value)
        inside = (ratio > -4) & (ratio < 3)
        masters[matrix].assign(np.round(np.clip(ratio, -4, 3)) * numpy(quantizer.scale.value))
    expected = numpy(Compiled(plain)(x))
    np.testing.assert_allclose(numpy(Compiled(wrapper)(x)), expected, rtol=1e-6, atol=1e-6)
    upstream = ops.convert_to_tensor(np.cos(expected))

    def of_kernel(model, variable):
        def function(kernel):
            with keras.StatelessScope([(variable, kernel)]):
                return ops.sum(model(x) * upstream)

        return gradient(Compiled(function), numpy(variable.value))

    found = of_kernel(wrapper, variable)
    expected = of_kernel(plain, masters[matrix]) * inside
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_without_quantizers_training_equals_that_of_the_plain_layer():
    models = [noisy_model(lambda layer: layer), noisy_model(kc.layers.QuantizeAware)]
    losses = [m.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0) for m in models]
    np.testing.assert_allclose(*[h.history["loss"] for h in losses], rtol=1e-6)
    for plain, wrapped in zip(*map(weights_of, models), strict=True):
        np.testing.assert_allclose(wrapped, plain, rtol=1e-6)
    np.testing.assert_allclose(*[m.evaluate(X, Y, verbose=0) for m in models], rtol=1e-6)
    assert numpy(models[1].layers[0].layer.calls.value) == 4.0


def test_losses_of_an_eager_call_are_those_of_the_plain_layer():
    plain, wrapped = noisy_model(lambda layer: layer), noisy_model(kc.layers.QuantizeAware)
    for model in (plain, wrapped):
        model(X)
    assert len(plain.losses) == 3
    np.testing.assert_allclose(
        sorted(map(numpy, wrapped.losses)), sorted(map(numpy, plain.losses)), rtol=1e-6
    )


def test_regularizers_act_once_on_the_master_weights():
    wrapper = kc.layers.QuantizeAware(
        layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.5)), weight=lsq(2)
    )
    model = keras.Sequential([keras.Input((8,)), wrapper])
    model(X)
    (loss,) = model.losses
    kernel = numpy(wrapper.layer.kernel.value)
    np.testing.assert_allclose(numpy(loss), 0.5 * np.sum(kernel**2), rtol=1e-6)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    total = model.evaluate(X, Y, verbose=0)
    task = np.mean((numpy(model(X)) - Y) ** 2)
    np.testing.assert_allclose(total - task, 0.5 * np.sum(kernel**2), rtol=1e-5)


def test_jitted_training_equals_eager_training():
    results = []
    for run_eagerly in (False, True):
        keras.utils.set_random_seed(0)
        model = kc.quantize_aware(
            dense_model(activation="tanh"), weights=3, activations=4, calibration_data=X
        )
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly)
        before = weights_of(model)
        model.fit(X, Y, shuffle=False, verbose=0)
        results.append(weights_of(model))
        moved = [np.any(a != b) for a, b in zip(before, results[-1], strict=True)]
        assert all(moved) and len(moved) == 4  # kernel, bias and two scales
    for jitted, eager in zip(*results, strict=True):
        np.testing.assert_allclose(jitted, eager, rtol=1e-5, atol=1e-6)


def test_accumulated_gradients_equal_those_of_the_whole_batch():
    results = []
    for steps, batch_size in ((None, 8), (2, 4)):
        keras.utils.set_random_seed(0)
        model = kc.quantize_aware(dense_model(), weights=3)
        model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=steps), "mse")
        model.fit(X, Y, batch_size=batch_size, epochs=2, shuffle=False, verbose=0)
        results.append(weights_of(model))
    for whole, accumulated in zip(*results, strict=True):
        np.testing.assert_allclose(accumulated, whole, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_quantizes_the_float32_weights(policy):
    layer = layers.Dense(4, dtype=policy)
    wrapper = kc.layers.QuantizeAware(layer, weight=lsq(8), activation=lsq(8))
    inputs = keras.Input((8,))
    model = keras.Model(inputs, wrapper(inputs))
    wrapper.activation_quantizer.initialize_from(X)
    plain = layers.Dense(4, dtype=policy)
    plain.build((None, 8))
    variable, quantizer = wrapper.quantized_matrices()["kernel"]
    rounded = quantizer(variable.value)
    assert keras.backend.standardize_dtype(rounded.dtype) == "float32"
    plain.kernel.assign(rounded)
    expected = plain(wrapper.activation_quantizer(X))
    for found in (wrapper(X), model(X)):
        assert found.dtype == expected.dtype
        assert_bitwise_equal(
            numpy(ops.cast(found, "float32")), numpy(ops.cast(expected, "float32"))
        )
    assert model.output.dtype == policy.removeprefix("mixed_")
    model.compile("sgd", "mse")
    before = numpy(quantizer.scale.value).copy()
    model.fit(X, Y, verbose=0)
    assert np.any(numpy(quantizer.scale.value) != before)
    assert keras.backend.standardize_dtype(variable.dtype) == "float32"


def test_a_model_built_by_its_first_fit_starts_from_its_kernel():
    model = keras.Sequential([kc.layers.QuantizeAware(layers.Dense(4), weight=lsq(4))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(X, Y, verbose=0)
    variable, quantizer = model.layers[0].quantized_matrices()["kernel"]
    expected = 2 * np.abs(numpy(variable.value)).mean(axis=0, keepdims=True) / np.sqrt(7)
    np.testing.assert_allclose(numpy(quantizer.scale.value), expected, rtol=1e-5)


def test_frozen_layers_are_quantized_but_not_trained():
    wrapper = kc.layers.QuantizeAware(layers.Dense(4, trainable=False), weight=lsq(2))
    model = keras.Sequential([keras.Input((8,)), wrapper, layers.Dense(4)])
    assert len(model.trainable_variables) == 2 and not wrapper.trainable_variables
    before = weights_of(wrapper)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    for old, new in zip(before, weights_of(wrapper), strict=True):
        np.testing.assert_array_equal(old, new)
    variable, quantizer = wrapper.quantized_matrices()["kernel"]
    expected = X @ numpy(quantizer(variable.value))
    np.testing.assert_allclose(numpy(wrapper(X)), expected, rtol=1e-4, atol=1e-5)


def test_masks_pass_as_through_the_plain_layer():
    mask = np.arange(8) < 3
    layer = layers.Dense(4)
    for activation in (None, lsq(8)):
        wrapper = kc.layers.QuantizeAware(layer, activation=activation)
        found = wrapper(with_keras_mask(X, mask))
        np.testing.assert_array_equal(numpy(mask_of(found)), mask)
    inputs = keras.Input((8,))
    wrapper = kc.layers.QuantizeAware(layers.Conv1D(4, 2))
    with pytest.warns(UserWarning, match="does not support masking"):
        found = wrapper(with_keras_mask(normal(2, 3, 8), np.ones((2, 3), bool)))
    assert mask_of(found) is None
    assert wrapper.compute_mask(inputs, inputs) is None


def test_file_and_copies_compute_the_same(tmp_path):
    model = kc.quantize_aware(dense_model(), weights=3, activations=8, calibration_data=X)
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    expected = numpy(model(X))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert_bitwise_equal(numpy(loaded(X)), expected)
    assert_bitwise_equal(numpy(copy.deepcopy(model)(X)), expected)
    wrapper = model.get_layer("dense")
    assert_bitwise_equal(numpy(copy.deepcopy(wrapper)(X)), expected)
    restored = kc.layers.QuantizeAware.from_config(wrapper.get_config())
    assert restored.get_config() == wrapper.get_config()
    loaded.fit(X, Y, verbose=0)


def test_one_quantizer_may_be_given_to_several_layers():
    quantizer = lsq(4)
    first = kc.layers.QuantizeAware(layers.Dense(4, name="first"), weight=quantizer)
    second = kc.layers.QuantizeAware(layers.Dense(2, name="second"), weight=quantizer)
    model = keras.Sequential([keras.Input((8,)), first, second])
    assert not quantizer.built and first.weight is quantizer
    assert [layer.name for layer in model.layers] == ["first", "second"]
    shapes = [layer.weight_quantizers["kernel"].scale.shape for layer in model.layers]
    assert shapes == [(1, 4), (1, 2)]


def test_granularity_of_ones_own():
    for axis, shape in ((None, ()), (0, (8, 1)), ((0, 1), (8, 4))):
        wrapper = kc.layers.QuantizeAware(layers.Dense(4), weight=lsq(4, axis=axis))
        wrapper.build((None, 8))
        assert tuple(wrapper.weight_quantizers["kernel"].scale.shape) == shape


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"weight": 4}, TypeError, "`weight`"),
        ({"activation": "int8"}, TypeError, "`activation`"),
        ({"activation": kc.quantizers.StatsQuantizer(4)}, ValueError, "for weights only"),
    ],
)
def test_bad_quantizers_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        kc.layers.QuantizeAware(layers.Dense(4), **arguments)


def test_a_thing_that_is_no_layer_is_refused():
    with pytest.raises(ValueError, match="supported layer type"):
        kc.layers.QuantizeAware("dense")


def test_quantization_by_keras_on_top_is_refused():
    model = kc.quantize_aware(dense_model(), weights=4)
    model.get_layer("dense").layer.quantize("int8")
    with pytest.raises(ValueError, match="Use `freeze` before"):
        model(X)
