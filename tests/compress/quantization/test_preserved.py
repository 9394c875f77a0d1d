"""Zeros and clusters survive quantization-aware training."""

import keras
import numpy as np
import pytest

import keras_compress as kc
from keras_compress.quantization.preserved import ClusterAssignment
from keras_reweight.core.testing.backends import gradient
from tests.compress.quantization.common import dense_model, normal, numpy

X, Y = normal(16, 8), normal(16, 4, seed=1)


def trained(kernel, preserve):
    model = dense_model()
    model.layers[0].kernel.assign(kernel)
    quantized = kc.quantize_aware(model, weights=8, preserve=preserve)
    quantized.compile(keras.optimizers.Adam(0.05), "mse")
    for _ in range(3):
        quantized.train_on_batch(X, Y)
    return quantized


def test_zeros_and_clusters_stay_while_the_rest_is_trained():
    values = np.array([-0.9, -0.2, 0.0, 0.4], "float32")
    clusters = np.random.default_rng(0).integers(4, size=(8, 4))
    quantized = trained(values[clusters], ("sparsity", "clusters"))
    master = numpy(quantized.layers[0].layer.kernel.value)
    assert np.all((master == 0.0) == (clusters == 2))
    for cluster in range(4):
        assert len(np.unique(master[clusters == cluster])) == 1
    assert len(np.unique(master)) == 4 and not np.any(np.isin(master[master != 0], values))
    frozen = numpy(kc.freeze(quantized).layers[0].kernel.value)
    assert np.all(frozen[clusters == 2] == 0.0)
    # A column has a scale of its own, so a cluster has one value in each.
    for column in range(4):
        assert len(np.unique(frozen[:, column])) <= 4


def test_pruned_weights_do_not_come_back():
    kernel = normal(8, 4)
    kernel[::2] = 0.0
    quantized = trained(kernel, "sparsity")
    kept = numpy(quantized.layers[0].layer.kernel.value)
    assert np.all(kept[::2] == 0.0) and np.all(kept[1::2] != kernel[1::2])
    assert np.all(numpy(quantized.layers[0].computed_matrices()["kernel"])[::2] == 0.0)


def test_the_gradient_of_a_cluster_is_its_mean():
    weights = np.array([[1.0, 2.0], [2.0, 1.0]], "float32")
    layer = ClusterAssignment()
    layer.build((2, 2))
    variable = keras.Variable(weights)
    layer.remember(variable, "kernel")
    upstream = keras.ops.convert_to_tensor(np.array([[1.0, 10.0], [30.0, 5.0]], "float32"))
    found = gradient(lambda w: keras.ops.sum(layer(w) * upstream), weights)
    np.testing.assert_allclose(numpy(found), [[3.0, 20.0], [20.0, 3.0]], rtol=1e-6)
    np.testing.assert_array_equal(numpy(layer(weights)), weights)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"preserve": "magic"}, "`preserve` must be .* got 'magic'"),
        ({"preserve": "sparsity", "method": "stats"}, "StatsQuantizer has no level at zero"),
    ],
)
def test_what_cannot_be_preserved_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        kc.quantize_aware(dense_model(), **arguments)


def test_too_many_clusters_are_refused():
    model = dense_model(units=40)
    with pytest.raises(ValueError, match="kernel has 320 different values, at most 256"):
        kc.quantize_aware(model, preserve="clusters")
