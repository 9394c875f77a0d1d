import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.matching import references
from tests.reweight.matching.networks import network, stack


def test_alignment_and_distance_against_the_formulas():
    first, second = stack(0), stack(1)
    matching = kr.matching.match_weights(first, second)
    for orders in (None, matching):
        report = kr.matching.alignment_report(first, kr.WeightSnapshot(second), orders)
        weights = second.get_weights()
        if orders is not None:
            weights = references.permuted(weights, list(orders.permutations.values()))
        expected = references.alignment(first.get_weights(), weights)
        assert list(report.alignment) == ["hidden0/kernel", "hidden1/kernel", "head/kernel"]
        np.testing.assert_allclose(list(report.alignment.values()), expected, rtol=1e-5)
        gaps = [a - b for a, b in zip(first.get_weights(), weights, strict=True)]
        distance = np.sqrt(sum((gap**2).sum() for gap in gaps))
        np.testing.assert_allclose(report.distance, distance, rtol=1e-6)
        np.testing.assert_allclose(report.mean, np.mean(expected), rtol=1e-5)
    assert "hidden1/kernel: " in str(report) and "distance: " in str(report)


def test_from_minus_one_to_one():
    model = network("residual")
    same = kr.matching.alignment_report(model, model)
    np.testing.assert_allclose(list(same.alignment.values()), 1.0, rtol=1e-6)
    assert same.distance == 0.0
    other = network("residual", copy=1)
    other.set_weights([-weight for weight in other.get_weights()])
    opposite = kr.matching.alignment_report(model, other)
    np.testing.assert_allclose(list(opposite.alignment.values()), -1.0, rtol=1e-6)


def test_zero_kernels_and_no_kernels():
    model, zero = stack(0), stack(1)
    zero.set_weights([0 * weight for weight in zero.get_weights()])
    assert set(kr.matching.alignment_report(model, zero).alignment.values()) == {0.0}
    vector = keras.Sequential([keras.Input((3,)), keras.layers.LayerNormalization()])
    with pytest.raises(ValueError, match="no trainable kernels"):
        kr.matching.alignment_report(vector, vector)
