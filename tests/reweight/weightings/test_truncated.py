"""Truncated: what is dropped, what the rest gets, ties and padding."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_lin_upper import reference as lin_upper
from tests.reweight.weightings.wrapping import Doubled, slope_of, through_json


def _kept(losses, drop_highest, drop_lowest):
    order = np.argsort(losses, kind="stable")
    n = len(losses)
    low, high = int(drop_lowest * n + 1e-9), int(drop_highest * n + 1e-9)
    return np.isin(np.arange(n), order[low : n - high])


def reference(losses, drop_highest=0.0, drop_lowest=0.0):
    kept = _kept(losses, drop_highest, drop_lowest)
    return kept * len(losses) / kept.sum()


def reference_inside(losses, drop_highest=0.0, drop_lowest=0.0):
    """Around `LinUpper(0.4)`."""
    kept = _kept(losses, drop_highest, drop_lowest)
    found = np.zeros(len(losses))
    found[kept] = lin_upper(losses[kept], 0.4)
    return found


def weights(losses, *args, **drops):
    return ops.convert_to_numpy(kr.weightings.Truncated(*args, **drops)(losses))


def test_by_hand():
    found = weights(LOSSES, drop_highest=0.2)
    np.testing.assert_allclose(found, [1.25, 1.25, 1.25, 1.25, 0], rtol=1e-6)
    found = weights(LOSSES, drop_highest=0.39, drop_lowest=0.4)
    np.testing.assert_allclose(found, [0, 0, 2.5, 2.5, 0], rtol=1e-6)
    np.testing.assert_array_equal(weights(LOSSES[:1], drop_highest=0.9), [1])
    tied = np.array([1.0, 1.0, 1.0, 1.0], "float32")
    np.testing.assert_array_equal(weights(tied, drop_lowest=0.25, drop_highest=0.25), [0, 2, 2, 0])


@pytest.mark.parametrize("share", [0.1, 0.29, 0.3, 0.7])
def test_whole_numbers_are_exact(share):
    losses = np.random.default_rng(0).gamma(2.0, size=100).astype("float32")
    assert (weights(losses, drop_highest=share) == 0).sum() == round(share * 100)


def test_the_inside_sees_only_what_is_kept():
    found = weights(LOSSES, kr.weightings.LinUpper(0.4), drop_highest=0.2)
    np.testing.assert_allclose(found, reference_inside(LOSSES, 0.2), rtol=1e-5)
    flowing = kr.weightings.Truncated(Doubled(), drop_highest=0.2)
    expected = np.where(LOSSES < 4, 8 * LOSSES, 0)
    np.testing.assert_allclose(slope_of(flowing, LOSSES), expected, rtol=1e-6)


def test_shares_are_of_the_entries_that_count():
    losses = np.stack([LOSSES, LOSSES + 10])
    mask = np.array([[True] * 5, [False] * 5])
    found = kr.weightings.Truncated(drop_highest=0.2)(losses, mask=mask)
    expected = [[1.25, 1.25, 1.25, 1.25, 0], [0] * 5]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-6)


def test_a_schedule_may_reach_one_and_leaves_a_sample():
    grow = kr.schedules.PolynomialDecay(0.0, 1.0, end_step=4, power=1.0)
    weighting = kr.weightings.Truncated(drop_highest=grow, drop_lowest=0.5)
    for version in (weighting, through_json(weighting)):
        found = ops.convert_to_numpy(version(LOSSES, step=4))
        np.testing.assert_array_equal(found, [5, 0, 0, 0, 0])


def test_shares_that_leave_nothing():
    with pytest.raises(ValueError, match="drop_highest.*drop_lowest"):
        kr.weightings.Truncated(drop_highest=0.5, drop_lowest=0.5)
