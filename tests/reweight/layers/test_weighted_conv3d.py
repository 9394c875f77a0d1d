"""WeightedConv3D against NumPy."""

import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate
from tests.reweight.layers.kernels import convolved

X = np.random.default_rng(0).normal(size=(4, 3, 4, 5, 2)).astype("float32")


def reference(inputs, weights, density=(0.7,)):
    kernel, bias = weights[:2]
    half = list(weights[2]) if len(weights) > 2 else list(density)
    profile = np.array([*half, 1.0, *half[::-1]])
    factors = np.einsum("i,j,k->ijk", profile, profile, profile)
    return convolved(inputs, kernel * factors[..., None, None], bias)


def test_corners_have_the_third_power():
    layer = kr.layers.WeightedConv3D(1, 3, density=(0.5,))
    layer.build(X.shape)
    found = ops.convert_to_numpy(layer.spatial_density())
    assert found.shape == (3, 3, 3)
    np.testing.assert_allclose(
        [found[0, 0, 0], found[0, 0, 1], found[0, 1, 1], found[1, 1, 1]], [0.125, 0.25, 0.5, 1]
    )


def test_channels_first():
    layers = [
        kr.layers.WeightedConv3D(2, 3, density=(0.6,), data_format=f"channels_{place}")
        for place in ("last", "first")
    ]
    layers[0].build(X.shape)
    first = np.ascontiguousarray(np.moveaxis(X, -1, 1))
    layers[1].build(first.shape)
    layers[1].set_weights([layers[0].get_weights()[0], np.array([1.0, 2.0], "float32")])
    layers[0].bias.assign([1.0, 2.0])
    expected = reference(X, layers[0].get_weights(), density=(0.6,))
    for layer, value in zip(layers, (X, first), strict=True):
        found = evaluate(layer, value)
        if layer is layers[1]:
            found = np.moveaxis(found, 1, -1)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
