"""top_tokens: how many and which, with ties, padding and a scheduled fraction."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.functional import top_tokens

SCORE = np.array([[0.1, 2.0, 0.3], [0.5, 0.2, 9.0]], "float32")
MASK = np.array([[True, True, True], [True, True, False]])


def reference(score, mask, fraction):
    left = sorted(zip(*np.nonzero(mask), strict=True), key=lambda index: -score[index])
    found = np.zeros(score.shape, bool)
    for index in left[: int(np.ceil(fraction * len(left) - 1e-9))]:
        found[index] = True
    return found


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.4, 0.6, 0.61, 1.0])
def test_the_highest_scores_are_kept(fraction):
    found = ops.convert_to_numpy(top_tokens(SCORE, MASK, fraction))
    assert found.dtype == bool
    np.testing.assert_array_equal(found, reference(SCORE, MASK, fraction))


def test_ties_nothing_and_what_is_not_finite():
    found = ops.convert_to_numpy(top_tokens(np.ones(4, "float32"), fraction=0.5))
    np.testing.assert_array_equal(found, [True, True, False, False])
    nothing = ops.convert_to_numpy(top_tokens(SCORE, np.zeros_like(MASK), 0.5))
    assert not nothing.any()
    score = np.array([1.0, np.nan, np.inf, -1.0], "float32")
    found = ops.convert_to_numpy(top_tokens(score, fraction=1.0))
    np.testing.assert_array_equal(found, [True, False, False, True])


def test_a_fraction_that_grows_in_a_straight_line():
    relax = kr.schedules.PolynomialDecay(0.2, 1.0, end_step=4, power=1.0)
    for step in range(6):
        assert abs(relax(step) - min(0.2 + 0.2 * step, 1.0)) < 1e-12
        fraction = relax(ops.convert_to_tensor(step))
        kept = ops.convert_to_numpy(top_tokens(SCORE, MASK, fraction)).sum()
        assert kept == min(step + 1, 5)
