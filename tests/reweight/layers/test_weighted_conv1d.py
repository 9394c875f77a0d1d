"""WeightedConv1D against NumPy."""

import keras
import numpy as np
from keras import ops

import keras_reweight as kr
from tests.reweight.layers.kernels import assert_folds, convolved

X = np.random.default_rng(0).normal(size=(4, 7, 2)).astype("float32")


def reference(inputs, weights, density=(0.7,)):
    kernel, bias = weights[:2]
    half = list(weights[2]) if len(weights) > 2 else list(density)
    profile = np.array([*half, 1.0, *half[::-1]])
    return convolved(inputs, kernel * profile[:, None, None], bias)


def test_causal_padding_sees_no_later_step():
    layer = kr.layers.WeightedConv1D(3, 3, padding="causal", dilation_rate=2)
    later = X.copy()
    later[:, 4] += 1.0
    found = [ops.convert_to_numpy(layer(value)) for value in (X, later)]
    assert found[0].shape == (4, 7, 3)
    np.testing.assert_array_equal(found[0][:, :4], found[1][:, :4])
    assert (found[0][:, 4] != found[1][:, 4]).any()
    assert_folds(layer, X)


def test_causal_padding_of_the_last_axis():
    layer = kr.layers.WeightedConv1D(3, 3, padding="causal", data_format="channels_first")
    # TensorFlow has no kernel for it on a CPU.
    assert layer(keras.KerasTensor((4, 2, 7))).shape == (4, 3, 7)
