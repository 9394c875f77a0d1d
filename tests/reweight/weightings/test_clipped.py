"""Clipped: bounds in units of the uniform weight, and what it takes over from the inside."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_kl_dro import reference as kl_dro
from tests.reweight.weightings.wrapping import LABELS, LOGITS, Doubled, slope_of, through_json


def reference(losses, minimum=0.0, maximum=np.inf):
    """Around `KLDRO(0.5)`."""
    return np.clip(len(losses) * kl_dro(losses, 0.5), minimum, maximum)


def test_bounds_are_in_units_of_the_uniform_weight():
    weighting = kr.weightings.Clipped(kr.weightings.KLDRO(), minimum=0.1, maximum=2.0)
    found = ops.convert_to_numpy(weighting(LOSSES))
    np.testing.assert_allclose(found, [0.1, 0.121991, 0.201129, 0.546725, 2.0], rtol=1e-5)
    np.testing.assert_array_equal(found, ops.convert_to_numpy(weighting.sample_weights(LOSSES)))


def test_padding_is_not_raised_to_the_minimum():
    weighting = kr.weightings.Clipped(kr.weightings.KLDRO(), minimum=0.1)
    padded = np.concatenate([LOSSES, [9.0, np.nan]]).astype("float32")
    mask = np.array([True] * 5 + [False, True])
    found = ops.convert_to_numpy(weighting(padded, mask=mask))
    np.testing.assert_allclose(found[:5], ops.convert_to_numpy(weighting(LOSSES)), rtol=1e-6)
    np.testing.assert_array_equal(found[5:], 0)


def test_needs_and_gradients_are_those_of_the_inside():
    outer = kr.weightings.Clipped(kr.weightings.ProbabilityMargin(), maximum=1.0)
    assert outer.reads == ("y_true", "y_pred") and outer.stop_gradient
    with pytest.raises(ValueError, match="y_true"):
        outer(LOSSES, y_pred=LOGITS)
    assert outer(LOSSES, LABELS, LOGITS).shape == (5,)
    flowing = kr.weightings.Clipped(Doubled(), maximum=3.0)
    assert not flowing.stop_gradient
    expected = np.where(2 * LOSSES < 3, 8 * LOSSES, 0)
    np.testing.assert_allclose(slope_of(flowing, LOSSES), expected, rtol=1e-6)
    assert not slope_of(kr.weightings.Clipped(kr.weightings.KLDRO()), LOSSES).any()


def test_a_schedule_inside_gets_the_step_also_after_saving():
    decay = kr.schedules.PolynomialDecay(2.0, 0.5, end_step=4, power=1.0)
    weighting = kr.weightings.Clipped(kr.weightings.KLDRO(decay), maximum=2.0)
    plain = kr.weightings.Clipped(kr.weightings.KLDRO(0.5), maximum=2.0)
    expected = ops.convert_to_numpy(plain(LOSSES))
    for version in (weighting, through_json(weighting)):
        found = ops.convert_to_numpy(version(LOSSES, step=9))
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="temperature"):
        weighting(LOSSES)
