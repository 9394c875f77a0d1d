"""Codebooks: the start, gradients, what is preserved."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_reweight.core.testing.backends import Compiled, evaluate, gradient
from tests.compress.quantization.common import assert_bitwise_equal, normal, numpy


def reference(inputs, weights):
    """Nearest entries, a codebook for each column."""
    codebook = weights[0]
    nearest = np.argmin(np.abs(inputs[:, :, None] - codebook), axis=2)
    return np.take_along_axis(codebook, nearest.T, axis=1).T


def test_the_vector_of_the_specification():
    quantizer = kc.quantizers.CodebookQuantizer(2, axis=None, num_clusters=3)
    quantizer.initialize_from(np.array([0.0, 0.1, 0.9, 1.0, 5.0], "float32"))
    np.testing.assert_allclose(numpy(quantizer.codebook), [0.05, 0.95, 5.0], rtol=1e-6)
    assert quantizer.code_range == (0, 2)


@pytest.mark.parametrize("how, axis", [("mean", -1), ("sum", None)])
def test_gradient_of_the_codebook(how, axis):
    x, upstream = normal(9, 2), normal(9, 2, seed=1)
    quantizer = kc.quantizers.CodebookQuantizer(2, axis=axis, gradient=how)
    quantizer.initialize_from(x)
    # Out of order, as training may leave it.
    codebook = numpy(quantizer.codebook)[..., ::-1].copy()
    codes = np.argmin(np.abs(x[:, :, None] - np.broadcast_to(codebook, (2, 4))), axis=2)
    expected = np.zeros((2, 4))
    counts = np.zeros((2, 4))
    for row, column in np.ndindex(9, 2):
        expected[column, codes[row, column]] += upstream[row, column]
        counts[column, codes[row, column]] += 1
    if axis is None:
        expected, counts = expected.sum(axis=0), counts.sum(axis=0)
    if how == "mean":
        expected = expected / np.maximum(counts, 1)
    factor = ops.convert_to_tensor(upstream)

    def loss(tensor):
        with keras.StatelessScope([(quantizer.codebook, tensor)]):
            return ops.sum(quantizer(x) * factor)

    found = gradient(Compiled(loss), codebook)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_clustered_weights_are_preserved_bitwise():
    clustered = np.random.default_rng(0).choice(normal(4), size=(12, 3)).astype("float32")
    for axis in (None, -1):
        quantizer = kc.quantizers.CodebookQuantizer(2, axis=axis)
        quantizer.initialize_from(clustered)
        assert_bitwise_equal(numpy(quantizer(clustered)), clustered)


def test_zeros_are_preserved():
    x = np.abs(normal(40, 2)) + 3.0
    x[::3] = 0.0
    quantizer = kc.quantizers.CodebookQuantizer(2, preserve_sparsity=True)
    quantizer.initialize_from(x)
    assert tuple(quantizer.codebook.shape) == (2, 3)
    quantizer.codebook.assign(numpy(quantizer.codebook) + 0.3)
    found = numpy(quantizer(x))
    np.testing.assert_array_equal(found == 0.0, x == 0.0)
    plain = kc.quantizers.CodebookQuantizer(2, axis=None, initialization="linear", iterations=0)
    plain.initialize_from(x)
    np.testing.assert_allclose(numpy(plain.codebook), np.linspace(x.min(), x.max(), 4), rtol=1e-6)


def test_levels_of_a_fresh_quantizer_and_of_eight_bits():
    quantizer = kc.quantizers.CodebookQuantizer(8, axis=None)
    quantizer.build((4, 3))
    x = normal(4, 3)
    found = evaluate(quantizer, x)
    assert np.max(np.abs(found - x)) <= 3.0 / 255 + 1e-6
    assert len(quantizer.levels) == 256


@pytest.mark.parametrize(
    "changes, name",
    [
        ({"num_clusters": 17}, "num_clusters"),
        ({"initialization": "kmeans"}, "initialization"),
        ({"gradient": "max"}, "gradient"),
        ({"group_size": 2}, "group_size"),
    ],
)
def test_bad_arguments(changes, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        kc.quantizers.CodebookQuantizer(**changes)
