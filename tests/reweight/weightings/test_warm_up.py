"""WarmUp: uniform in the normalization of the inside, then the inside itself."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from tests.reweight.weightings.bounded import LOSSES
from tests.reweight.weightings.test_lin_upper import reference as lin_upper
from tests.reweight.weightings.wrapping import Doubled, slope_of, through_json


def reference(losses, steps, step):
    """Around `LinUpper(0.4)`."""
    return lin_upper(losses, 0.4) if step >= steps else np.full(len(losses), 1 / len(losses))


@pytest.mark.parametrize(
    ("inside", "uniform"), [(kr.weightings.LinUpper(0.4), 0.2), (Doubled(), 1.0)]
)
def test_uniform_until_the_step(inside, uniform):
    weighting = kr.weightings.WarmUp(inside, steps=3)
    for step in range(3):
        found = ops.convert_to_numpy(weighting(LOSSES, step=step))
        np.testing.assert_allclose(found, uniform, rtol=1e-6)
    expected = ops.convert_to_numpy(inside(LOSSES))
    for version in (weighting, through_json(weighting)):
        found = ops.convert_to_numpy(version(LOSSES, step=ops.convert_to_tensor(3)))
        np.testing.assert_array_equal(found, expected)


def test_uniform_over_what_counts():
    weighting = kr.weightings.WarmUp(kr.weightings.LinUpper(0.4), steps=3)
    mask = np.array([True, True, False, True, True])
    found = ops.convert_to_numpy(weighting(LOSSES, mask=mask, step=0))
    np.testing.assert_allclose(found, mask / 4, rtol=1e-6)


def test_gradients_flow_as_inside():
    weighting = kr.weightings.WarmUp(Doubled(), steps=3)
    assert not slope_of(weighting, LOSSES, step=2).any()
    np.testing.assert_allclose(slope_of(weighting, LOSSES, step=3), 8 * LOSSES, rtol=1e-6)


def test_trains_like_the_warmup_of_the_callback():
    weights = []
    for arguments in (
        {"weighting": kr.weightings.WarmUp(kr.weightings.LinUpper(0.4), steps=2)},
        {"weighting": kr.weightings.LinUpper(0.4), "warmup_steps": 2},
    ):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.layers[0].kernel.assign([[0.5], [-1.0]])
        model.compile(keras.optimizers.SGD(0.1), "mse")
        x = np.random.default_rng(0).normal(size=(12, 2)).astype("float32")
        reweight = kr.callbacks.Reweight(**arguments)
        model.fit(x, x[:, :1], batch_size=3, shuffle=False, verbose=0, callbacks=[reweight])
        weights.append(ops.convert_to_numpy(model.layers[0].kernel))
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6)


def test_the_step_is_needed():
    with pytest.raises(ValueError, match="step"):
        kr.weightings.WarmUp(kr.weightings.LinUpper(), steps=3)(LOSSES)
