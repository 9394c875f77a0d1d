import numpy as np
import pytest

from keras_compress.pruning import GlobalAllocation, LAMPAllocation
from keras_compress.pruning.allocations.lamp_allocation import lamp_scores
from tests.compress.pruning.allocations import test_global_allocation


def reference(score):
    """Every weight against those of its layer that are not smaller, one by one."""
    flat = np.asarray(score, "float64").ravel()
    order = np.argsort(flat, kind="stable")
    result = np.zeros(flat.size)
    for place, index in enumerate(order):
        result[index] = flat[index] ** 2 / (flat[order[place:]] ** 2).sum()
    return result.reshape(np.shape(score))


def reference_counts(scores, sparsity):
    return test_global_allocation.reference_counts([reference(s) for s in scores], sparsity)


def test_official_vector():
    weights = np.array([[1.0, -2.0], [3.0, 0.5]])
    expected = [[0.071429, 0.307692], [1.0, 0.017544]]
    np.testing.assert_allclose(lamp_scores(np.abs(weights)), expected, atol=5e-7)


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_counts_of_a_ranking_with_ties(sparsity):
    generator = np.random.default_rng(0)
    scores = [np.abs(generator.normal(size=size).round(1)) for size in ((20, 3), (7,), (3, 4, 5))]
    found = LAMPAllocation(min_keep=0.0)(scores, sparsity)
    assert found == reference_counts(scores, sparsity)


def test_tied_weights_of_a_layer_go_one_after_the_other():
    np.testing.assert_allclose(lamp_scores(np.ones(4)), [1 / 4, 1 / 3, 1 / 2, 1.0])


def test_scale_of_a_layer_does_not_matter():
    generator = np.random.default_rng(1)
    scores = [generator.random(30), generator.random(70)]
    scaled = [scores[0] * 1e-30, scores[1] * 1e25]
    allocation = LAMPAllocation(min_keep=0.0)
    assert allocation(scores, 0.8) == allocation(scaled, 0.8)
    assert GlobalAllocation(min_keep=0.0)(scaled, 0.3) == [30, 0]


def test_no_layer_vanishes():
    scores = [np.full(10, 1e-3), np.ones(990)]
    assert LAMPAllocation(min_keep=0.0)(scores, 0.98)[0] < 10


def test_marks_pass_and_all_zero_layers_are_no_error():
    np.testing.assert_array_equal(
        lamp_scores(np.array([np.inf, -np.inf, 2.0])), [np.inf, -np.inf, 1]
    )
    np.testing.assert_array_equal(lamp_scores(np.zeros(3)), np.zeros(3))
    np.testing.assert_array_equal(lamp_scores(np.array([-1.0, 0.0, 3.0])), [0.0, 0.0, 1.0])
