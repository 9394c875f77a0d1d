"""Batch normalization folded: the same function, the same training, one plain layer at the end."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.quantization.common import Drawn, normal, numpy

X = normal(6, 4, 4, 2)
KERNEL = {"kernel_initializer": Drawn(), "use_bias": False}


def network(small=False):
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 2, padding="same", name="conv", **KERNEL)(inputs)
    x = layers.BatchNormalization(name="conv_bn", momentum=0.9)(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.DepthwiseConv2D(
        2, depth_multiplier=2, depthwise_initializer=Drawn(), bias_initializer="ones", name="depth"
    )(x)
    x = layers.BatchNormalization(name="depth_bn", scale=False)(x)
    if not small:
        x = layers.Conv2DTranspose(3, 2, name="back", **KERNEL)(x)
        x = layers.BatchNormalization(name="back_bn", center=False, epsilon=0.1)(x)
        x = layers.SeparableConv2D(
            2,
            2,
            depthwise_initializer=Drawn(),
            pointwise_initializer=Drawn(),
            use_bias=False,
            name="separable",
        )(x)
        x = layers.BatchNormalization(name="separable_bn")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(3, kernel_initializer=Drawn(), name="dense")(x)
    x = layers.BatchNormalization(name="dense_bn")(x)
    model = keras.Model(inputs, x)
    for index, layer in enumerate(model.layers):
        if isinstance(layer, layers.BatchNormalization):
            for number, variable in enumerate(layer.weights):
                values = normal(*variable.shape, seed=10 * index + number)
                variable.assign(1.0 + 0.3 * np.abs(values))
    return model


def reference(kernel, bias, gamma, beta, mean, variance, epsilon):
    factor = gamma / np.sqrt(variance + epsilon)
    return kernel * factor, beta + (bias - mean) * factor


def test_plain_layers_compute_the_same():
    model = network()
    folded = kc.quantization.fold_batch_norm(model)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in folded.layers)
    assert all(type(layer).__module__.startswith("keras.") for layer in folded.layers)
    expected = model.predict_on_batch(X)
    np.testing.assert_allclose(folded.predict_on_batch(X), expected, rtol=1e-4, atol=1e-5)
    conv, norm = model.get_layer("conv"), model.get_layer("conv_bn")
    values = [numpy(one.value) for one in (norm.gamma, norm.beta)]
    values += [numpy(one.value) for one in (norm.moving_mean, norm.moving_variance)]
    kernel, bias = reference(numpy(conv.kernel.value), 0.0, *values, norm.epsilon)
    np.testing.assert_allclose(numpy(folded.get_layer("conv").kernel.value), kernel, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(folded.get_layer("conv").bias.value), bias, rtol=1e-4, atol=1e-6
    )


def named_weights(model):
    found = {}
    for layer in model.layers:
        norm = getattr(layer, "batch_norm", None)
        inner = layer if norm is None else layer.layer
        for each, name in ((inner, inner.name), (norm, f"{layer.name}_bn")):
            for variable in getattr(each, "weights", []):
                found[f"{name}/{variable.name}"] = numpy(variable.value)
    return found


@pytest.mark.parametrize("statistics", ["moving", "batch"])
def test_floats_train_as_the_two_layers_do(statistics):
    plain = network(small=True)
    folded = kc.quantization.fold_batch_norm(plain, trainable=True, statistics=statistics)
    assert type(folded.get_layer("conv")) is kc.layers.FoldedBatchNorm
    for model in (plain, folded):
        model.compile(keras.optimizers.SGD(0.05), "mse")
        model.train_on_batch(X, np.ones((6, 3), "float32"))
    before, expected, found = (
        named_weights(network(small=True)),
        named_weights(plain),
        named_weights(folded),
    )
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=2e-5, err_msg=name)
        # A shift that the next normalization takes out again has no gradient.
        assert np.any(values != before[name]) or "bias" in name or "beta" in name


def test_the_folded_kernel_is_what_is_quantized():
    conv = layers.Conv2D(3, 2, name="conv", **KERNEL)
    norm = layers.BatchNormalization(momentum=0.5)
    model = keras.Sequential([keras.Input((4, 4, 2)), conv, norm, layers.Flatten()])
    for number, variable in enumerate(norm.weights):
        variable.assign(0.5 + np.abs(normal(3, seed=number)))
    folded = kc.quantization.fold_batch_norm(model, trainable=True)
    quantized = kc.quantize_aware(folded, weights=3, method="stats")
    assert [layer.name for layer in quantized.layers] == ["conv", model.layers[2].name]
    gamma, _, _, variance = (numpy(variable.value) for variable in norm.weights)
    kernel = numpy(conv.kernel.value) * gamma / np.sqrt(variance + norm.epsilon)
    scale = 2 * np.abs(kernel).mean(axis=(0, 1, 2), keepdims=True)
    expected = (np.round(np.clip(kernel / scale, -1, 1 - 1e-6) * 4 - 0.5) + 0.5) * scale / 4
    frozen = kc.freeze(quantized)
    assert type(frozen.layers[0]) is layers.Conv2D and len(frozen.layers) == 2
    np.testing.assert_allclose(numpy(frozen.layers[0].kernel.value), expected, rtol=1e-5)
    plain = frozen.predict_on_batch(X)
    np.testing.assert_allclose(quantized.predict_on_batch(X), plain, rtol=1e-4, atol=1e-5)
    assert len(kc.quantization.quantized_form(quantized).matrices) == 1
    wrapper = quantized.layers[0]
    quantized.compile(keras.optimizers.SGD(0.01), "mse")
    watched = [*wrapper.layer.weights]
    before = [numpy(variable.value).copy() for variable in watched]
    quantized.train_on_batch(X, np.ones(plain.shape, "float32"))
    for variable, old in zip(watched, before, strict=True):
        assert np.any(numpy(variable.value) != old), variable.path
    with pytest.raises(ValueError, match="equal weights do not stay equal"):
        kc.quantize_aware(folded, weights=3, preserve="clusters")


def test_frozen_statistics_stay():
    layer = kc.layers.FoldedBatchNorm(layers.Dense(2, **KERNEL), layers.BatchNormalization())
    x = normal(5, 3)
    layer.build(x.shape)
    layer.batch_norm.trainable = False
    outputs = [numpy(layer(x, training=training)) for training in (False, True)]
    np.testing.assert_array_equal(*outputs)
    assert np.all(numpy(layer.batch_norm.moving_mean.value) == 0.0)


# `pytest.warns` repeats what else was warned of, without the module that Keras' variables are in.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_what_stays_is_named():
    inputs = keras.Input((4,))
    hidden = layers.Dense(4, activation="relu", name="active")(inputs)
    hidden = layers.BatchNormalization(name="after")(hidden)
    folded = layers.BatchNormalization(name="norm")(layers.Dense(4, name="linear")(hidden))
    twice = layers.Dense(4, name="twice")(folded)
    outputs = layers.Add()([layers.BatchNormalization(name="shared")(twice), twice])
    model = keras.Model(inputs, outputs)
    with pytest.warns(UserWarning, match="'after': .*an activation.*'shared': .*used elsewhere"):
        result = kc.quantization.fold_batch_norm(model)
    left = [one.name for one in result.layers if isinstance(one, layers.BatchNormalization)]
    assert left == ["after", "shared"]
    with pytest.raises(ValueError, match="'after': \"'active': it has an activation"):
        kc.quantization.fold_batch_norm(model, layers="after")
    with pytest.raises(ValueError, match="selects no layer"):
        kc.quantization.fold_batch_norm(keras.Sequential([keras.Input((2,)), layers.Dense(2)]))


@pytest.mark.parametrize(
    "layer, reason",
    [
        (lambda: layers.Embedding(2, 2), "has no kernel"),
        (lambda: layers.Dense(2, activation="relu"), "activation"),
        (lambda: layers.Dense(2, activity_regularizer="l2"), "activity regularizer"),
        (lambda: layers.Conv2D(2, 2, data_format="channels_first"), "axis -1"),
    ],
)
def test_layers_that_do_not_fold(layer, reason):
    with pytest.raises(ValueError, match=reason):
        kc.layers.FoldedBatchNorm(layer(), layers.BatchNormalization())
