"""Mixed: a share of uniform weights in the normalization of the inside."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_lin_upper import reference as lin_upper
from tests.reweight.weightings.wrapping import Doubled, slope_of, through_json


def reference(losses, mix):
    """Around `LinUpper(0.4)`."""
    return (1 - mix) * lin_upper(losses, 0.4) + mix / len(losses)


@pytest.mark.parametrize("mix", [0.0, 0.3, 1.0])
def test_share_of_uniform_weights(mix):
    found = ops.convert_to_numpy(kr.weightings.Mixed(kr.weightings.LinUpper(0.4), mix=mix)(LOSSES))
    np.testing.assert_allclose(found, reference(LOSSES, mix), rtol=1e-5)
    raw = ops.convert_to_numpy(kr.weightings.Mixed(Doubled(), mix=mix)(LOSSES))
    np.testing.assert_allclose(raw, (1 - mix) * 2 * LOSSES + mix, rtol=1e-6)


def test_padding_has_no_share():
    weighting = kr.weightings.Mixed(kr.weightings.LinUpper(0.4), mix=0.5)
    mask = np.array([True, True, False, True, True])
    found = ops.convert_to_numpy(weighting(LOSSES, mask=mask))
    np.testing.assert_allclose(found[mask], reference(LOSSES[mask], 0.5), rtol=1e-5)
    assert found[2] == 0


def test_schedules_outside_and_inside():
    fade = kr.schedules.PolynomialDecay(1.5, 0.5, end_step=4, power=1.0)
    sharpen = kr.schedules.PolynomialDecay(2.0, 0.4, end_step=4, power=1.0)
    weighting = kr.weightings.Mixed(kr.weightings.LinUpper(sharpen), mix=fade)
    for version in (weighting, through_json(weighting)):
        assert version.normalization == "sum_one"
        early = ops.convert_to_numpy(version(LOSSES, step=0))
        np.testing.assert_allclose(early, 0.2, rtol=1e-6)
        late = ops.convert_to_numpy(version(LOSSES, step=4))
        np.testing.assert_allclose(late, reference(LOSSES, 0.5), rtol=1e-5)
    with pytest.raises(ValueError, match="mix"):
        kr.weightings.Mixed(kr.weightings.LinUpper(), mix=fade)(LOSSES)


def test_gradients_flow_as_inside():
    slope = slope_of(kr.weightings.Mixed(Doubled(), mix=0.25), LOSSES)
    np.testing.assert_allclose(slope, 2 * (1.5 * LOSSES + 0.25) * 1.5, rtol=1e-6)
