import numpy as np
import pytest

from keras_compress.pruning import GlobalAllocation
from keras_compress.pruning.lowest_masks import lowest_masks, next_masks


@pytest.mark.parametrize("count", [0, 1, 5, 11, 12])
def test_drops_the_lowest_with_ties_by_index(count):
    score = np.array([[3, 1, 2, 1], [1, 0, 3, 2], [0, 1, 2, 3]], "float64")
    (mask,) = lowest_masks([score], [count])
    expected = np.ones(12, "bool")
    expected[np.argsort(score.ravel(), kind="stable")[:count]] = False
    np.testing.assert_array_equal(mask, expected.reshape(3, 4))


def test_what_is_dropped_stays_dropped_even_among_other_zeros():
    scores = [np.array([0.0, 0.0, 0.0, 1.0])]
    current = [np.array([True, True, False, True])]
    allocation = GlobalAllocation(min_keep=0.0)
    (mask,) = next_masks(scores, allocation, 0.25, current)
    assert mask.tolist() == [True, True, False, True]
    (mask,) = next_masks(scores, allocation, 0.5, current)
    assert mask.tolist() == [False, True, False, True]


def test_the_same_sparsity_again_changes_nothing():
    generator = np.random.default_rng(0)
    scores = [generator.normal(size=n) ** 2 for n in (30, 500, 90)]
    allocation = GlobalAllocation(min_keep=0.04)
    masks = next_masks(scores, allocation, 0.8)
    again = next_masks(
        [generator.normal(size=n) ** 2 for n in (30, 500, 90)], allocation, 0.8, masks
    )
    for one, two in zip(masks, again, strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_falling_sparsity_keeps_what_is_kept():
    scores = [np.array([0.0, 0.0, 5.0, 1.0])]
    current = [np.array([False, False, True, True])]
    (mask,) = next_masks(scores, GlobalAllocation(min_keep=0.0), 0.25, current)
    assert mask.tolist() == [False, True, True, True]


def test_counts_that_a_pattern_cannot_give_are_refused():
    scores = [np.array([[1.0, 2.0], [np.inf, np.inf]])]
    for counts in ([3], [np.array([1, 2])], [np.array([1, 1, 1])]):
        with pytest.raises(ValueError, match="the rule asks for"):
            next_masks(scores, GlobalAllocation(), counts)
    (mask,) = next_masks(scores, GlobalAllocation(), [np.array([1, 0])])
    assert mask.tolist() == [[False, True], [True, True]]
