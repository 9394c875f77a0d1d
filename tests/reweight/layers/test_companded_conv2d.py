"""CompandedConv2D against NumPy, and its files."""

import numpy as np

import keras_reweight as kr
from tests.reweight.layers.kernels import assert_folds, assert_saves_free_parameters, convolved
from tests.reweight.layers.test_companded_dense import reference_weights

X = np.random.default_rng(0).normal(size=(4, 5, 5, 2)).astype("float32")


def reference(inputs, weights, amplitude=1.0, width=1.0):
    return convolved(inputs, reference_weights(weights, amplitude, width), weights[1])


def test_files_and_folding(tmp_path):
    layer, fresh = (
        kr.layers.CompandedConv2D(3, (3, 2), amplitude=0.5, padding="same", strides=2)
        for _ in range(2)
    )
    assert_saves_free_parameters(layer, fresh, X, tmp_path / "layer.weights.h5")
    assert_folds(layer, X)
