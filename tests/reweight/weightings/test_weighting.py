"""What the base class promises for every weighting: masks, NaN, schedules, scaling."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_lin_upper import reference as lin_upper

ALL = [kr.weightings.LinUpper, kr.weightings.Quadratic, kr.weightings.Extremes]


@pytest.mark.parametrize("method", ALL)
def test_masked_entries_do_not_count(method):
    padded = np.concatenate([LOSSES, [1e6, -5.0]]).astype("float32")
    mask = np.array([True] * 5 + [False] * 2)
    weights = ops.convert_to_numpy(method(0.4)(padded, mask=mask))
    np.testing.assert_allclose(weights[:5], ops.convert_to_numpy(method(0.4)(LOSSES)), rtol=1e-6)
    assert (weights[5:] == 0).all()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_losses_leave_finite_weights(method, bad):
    losses = np.concatenate([LOSSES, [bad]]).astype("float32")
    weights = ops.convert_to_numpy(method()(losses))
    np.testing.assert_allclose(weights[:5], ops.convert_to_numpy(method()(LOSSES)), rtol=1e-6)
    assert weights[5] == 0


@pytest.mark.parametrize("method", ALL)
def test_edges(method):
    weighting = method(0.4)
    assert ops.convert_to_numpy(weighting(np.array([3.0], "float32"))).tolist() == [1.0]
    equal = ops.convert_to_numpy(weighting(np.full(4, 1e6, "float32")))
    np.testing.assert_allclose(equal, 0.25, rtol=1e-6)
    none = ops.convert_to_numpy(weighting(np.full(3, np.nan, "float32")))
    assert (none == 0).all()
    tiny = ops.convert_to_numpy(method(1e-3)(LOSSES))
    assert np.isfinite(tiny).all() and abs(tiny.sum() - 1) < 1e-6


@pytest.mark.parametrize("method", ALL)
def test_sample_weights_reproduce_the_sum_under_keras_mean(method):
    mask = np.array([True, True, False, True, True])
    weighting = method(0.4)
    weights = ops.convert_to_numpy(weighting(LOSSES, mask=mask))
    scaled = ops.convert_to_numpy(weighting.sample_weights(LOSSES, mask=mask))
    np.testing.assert_allclose((scaled * LOSSES).sum() / 4, (weights * LOSSES).sum(), rtol=1e-6)


def test_scheduled_temperature_follows_the_step():
    schedule = kr.schedules.PolynomialDecay(4.0, 0.4, end_step=10, power=1.0)
    weighting = kr.weightings.LinUpper(schedule)
    late = ops.convert_to_numpy(weighting(LOSSES, step=ops.convert_to_tensor(10)))
    np.testing.assert_allclose(
        late, ops.convert_to_numpy(kr.weightings.LinUpper(0.4)(LOSSES)), rtol=1e-5
    )
    with pytest.raises(ValueError, match="temperature"):
        weighting(LOSSES)
    copy = kr.weightings.LinUpper.from_config(weighting.get_config())
    assert copy.temperature == schedule


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_bad_temperature(bad):
    with pytest.raises(ValueError, match="temperature"):
        kr.weightings.LinUpper(bad)


def test_non_numeric_arguments():
    with pytest.raises(TypeError, match="temperature.*'hot'"):
        kr.weightings.LinUpper("hot")
    with pytest.raises(ValueError, match="delta.*0"):
        kr.weightings.LinUpper(1.0, delta=0)


def test_float64_losses_keep_their_precision():
    losses = np.array([0.1, 0.2, 0.4], "float64")
    weights = ops.convert_to_numpy(kr.weightings.LinUpper(0.4)(losses))
    # JAX has no float64 by default.
    single = keras.backend.backend() == "jax"
    assert weights.dtype == ("float32" if single else "float64")
    np.testing.assert_allclose(weights, lin_upper(losses, 0.4), rtol=1e-5 if single else 1e-12)
