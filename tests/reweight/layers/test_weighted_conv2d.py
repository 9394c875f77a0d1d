"""WeightedConv2D: its density, formula, files and plain counterpart."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.layers.kernels import assert_folds, assert_saves_free_parameters, convolved

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")


def reference(inputs, weights, density=(0.7,)):
    kernel, bias = weights[:2]
    half = list(weights[2]) if len(weights) > 2 else list(density)
    profile = np.array([*half, 1.0, *half[::-1]])
    return convolved(inputs, kernel * np.outer(profile, profile)[:, :, None, None], bias)


def test_the_official_density():
    layer = kr.layers.WeightedConv2D(2, 3, density=[0.7])
    layer.build(X.shape)
    expected = [[0.49, 0.7, 0.49], [0.7, 1, 0.7], [0.49, 0.7, 0.49]]
    np.testing.assert_allclose(ops.convert_to_numpy(layer.spatial_density()), expected, rtol=1e-6)


def test_from_the_border_inwards():
    layer = kr.layers.WeightedConv2D(2, 5, density=(0.2, 0.8))
    layer.build(X.shape)
    found = ops.convert_to_numpy(layer.spatial_density())
    np.testing.assert_allclose(found[2], [0.2, 0.8, 1, 0.8, 0.2], rtol=1e-6)
    np.testing.assert_allclose(found[0, 0], 0.04, rtol=1e-6)


def test_one_tap_has_no_density():
    layer = kr.layers.WeightedConv2D(2, 1, density=(), trainable_density=True)
    plain = keras.layers.Conv2D(2, 1)
    layer.build(X.shape), plain.build(X.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(X)), ops.convert_to_numpy(plain(X)))


@pytest.mark.parametrize("trainable", [False, True])
def test_weight_files_hold_the_free_kernel(trainable, tmp_path):
    options = {"density": (0.2, 0.8), "trainable_density": trainable, "padding": "same"}
    layer, fresh = (kr.layers.WeightedConv2D(3, 5, **options) for _ in range(2))
    layer.build(X.shape)
    layer.bias.assign([1.0, 2.0, 3.0])
    if trainable:
        layer.density_weights.assign([0.3, 0.9])
    assert_saves_free_parameters(layer, fresh, X, tmp_path / "layer.weights.h5")


def test_folds_with_strides_groups_and_activation():
    layer = kr.layers.WeightedConv2D(
        4, 3, density=(1.4,), strides=2, groups=2, activation="tanh", use_bias=False
    )
    assert_folds(layer, X)


def test_starts_with_the_variance_of_the_authors():
    layer = kr.layers.WeightedConv2D(64, 3)
    layer.build((None, 8, 8, 32))
    spread = ops.convert_to_numpy(layer.kernel).std()
    np.testing.assert_allclose(spread, np.sqrt(2 / (64 * 9)), rtol=0.05)


def test_refuses_lora_and_quantization_of_the_free_kernel():
    layer = kr.layers.WeightedConv2D(2, 3)
    layer.build(X.shape)
    with pytest.raises(ValueError, match="fold"):
        layer.enable_lora(2)
    with pytest.raises(NotImplementedError, match="fold"):
        layer.quantize("int8")


@pytest.mark.parametrize("size", [4, (3, 5), (3,), 0])
def test_only_odd_square_kernels(size):
    with pytest.raises(ValueError, match="kernel_size"):
        kr.layers.WeightedConv2D(2, size)


def test_not_built():
    with pytest.raises(ValueError, match="not built"):
        kr.layers.WeightedConv2D(2, 3).effective_kernel()
