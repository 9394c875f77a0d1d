import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import deltas, each_weight, position, shared, tuned, write
from tests.reweight.signatures import models


def reference_slerp(base, values, t):
    """By rotating the unit vector of the start towards the end, for vectors that are not close."""
    (end,) = values
    a, b = base.ravel(), end.ravel()
    u, v = a / np.linalg.norm(a), b / np.linalg.norm(b)
    if abs(u @ v) > 0.9995:
        return (1 - t) * base + t * end
    omega = np.arctan2(np.linalg.norm(v - (u @ v) * u), u @ v)
    share = [np.sin((1 - t) * omega) / np.sin(omega), np.sin(t * omega) / np.sin(omega)]
    return (share[0] * a + share[1] * b).reshape(base.shape)


@pytest.fixture
def model():
    return shared()


@pytest.mark.parametrize("t", (0.0, 0.25, 0.5, 1.0))
def test_on_the_arc(model, t):
    (other,) = tuned(model, 1, scale=0.8)
    patch = kr.merging.slerp(model, other, t=t)
    expected = each_weight(lambda b, v: reference_slerp(b, v, t), model, [other])
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_norms_of_equal_length_are_kept():
    model = models.dense()
    rng = np.random.default_rng(0)
    units = [rng.normal(size=v.shape) for v in model.weights]
    units = [(u / np.linalg.norm(u)).astype("float32") for u in units]
    other = kr.WeightSnapshot(model)
    turned = [rng.normal(size=u.shape) + 3.0 * u for u in units]
    other.arrays = tuple((u / np.linalg.norm(u)).astype("float32") for u in turned)
    write(model, units)
    patch = kr.merging.slerp(model, other, t=0.3)
    for index in patch.indices:
        norm = np.linalg.norm(units[index].astype("float64") + patch.delta(index))
        np.testing.assert_allclose(norm, 1.0, rtol=1e-6)


def test_zeros_and_opposites_go_straight(model):
    other = kr.WeightSnapshot(model)
    zero, opposite = np.zeros_like(other.arrays[1]), -other.arrays[3]
    other.arrays = (other.arrays[0], zero, other.arrays[2], opposite, *other.arrays[4:])
    patch = kr.merging.slerp(model, other, t=0.25)
    base = kr.WeightSnapshot(model).arrays
    np.testing.assert_allclose(patch.delta(1), -0.25 * base[1].astype("float64"), rtol=1e-12)
    np.testing.assert_allclose(patch.delta(3), -0.5 * base[3].astype("float64"), rtol=1e-12)
    assert not patch.delta(0).any()


def test_statistics_stay_between():
    model = models.regularized()
    (other,) = tuned(model, 1, scale=0.9)
    place = position(model, "norm/moving_variance")
    patch = kr.merging.slerp(model, other, t=0.5)
    base = kr.WeightSnapshot(model).arrays[place].astype("float64")
    np.testing.assert_allclose(
        patch.delta(place), 0.5 * (other.arrays[place] - base), rtol=1e-6, atol=1e-12
    )
