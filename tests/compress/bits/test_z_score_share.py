"""The share of weights that stick out."""

import numpy as np
import pytest

import keras_compress as kc


def reference(weights, threshold=1.0):
    weights = np.asarray(weights, "float64").ravel()
    mean = sum(weights) / len(weights)
    deviation = np.sqrt(sum((w - mean) ** 2 for w in weights) / len(weights))
    return sum((w - mean) / deviation > threshold for w in weights) / len(weights)


def test_the_vector_of_the_method():
    assert kc.bits.z_score_share([0.0, 0.0, 0.0, 0.0, 10.0]) == 0.2


def test_reference_and_invariances():
    weights = np.random.default_rng(0).normal(size=(20, 7))
    for threshold in (0.5, 1.0, 2.0):
        found = kc.bits.z_score_share(weights, threshold=threshold)
        assert found == reference(weights, threshold)
        assert found == kc.bits.z_score_share(3.0 * weights.T + 8.0, threshold=threshold)


def test_edges():
    assert kc.bits.z_score_share(np.full((2, 3), 4.0)) == 0.0
    assert kc.bits.z_score_share([3.0]) == 0.0
    for weights, error in (([], ValueError), ([np.nan], ValueError), ("w", TypeError)):
        with pytest.raises(error, match="weights"):
            kc.bits.z_score_share(weights)
