"""Three levels: the factor, the threshold, zeros."""

import numpy as np

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy


def reference(inputs, threshold):
    magnitude = np.abs(inputs)
    large = magnitude > threshold * magnitude.mean(axis=0, keepdims=True)
    factor = np.sum(magnitude * large, axis=0, keepdims=True) / large.sum(axis=0, keepdims=True)
    return np.sign(inputs) * large * factor


def test_the_threshold_of_the_paper_is_close_to_the_best_for_normal_weights():
    x = normal(4000, 1)
    errors = {
        t: np.mean((numpy(kc.quantizers.TernaryQuantizer(t)(x)) - x) ** 2) for t in (0.4, 0.7, 1.1)
    }
    assert errors[0.7] < min(errors[0.4], errors[1.1])


def test_groups_and_zeros():
    x = normal(5, 2)
    x[1] = 0.0
    found = numpy(kc.quantizers.TernaryQuantizer(group_size=3)(x))
    np.testing.assert_allclose(found[:3], reference(x[:3], 0.7), rtol=1e-6)
    np.testing.assert_allclose(found[3:], reference(x[3:], 0.7), rtol=1e-6)
    assert np.all(found[1] == 0.0)
    np.testing.assert_array_equal(numpy(kc.quantizers.TernaryQuantizer()(np.zeros((3, 2)))), 0.0)


def test_equal_magnitudes_are_all_kept():
    x = np.array([[2.0], [-2.0], [2.0]], "float32")
    np.testing.assert_array_equal(numpy(kc.quantizers.TernaryQuantizer()(x)), x)
