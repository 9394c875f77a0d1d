import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import deltas, each_weight, position, shared, tuned
from tests.reweight.signatures import models


def reference_linear(base, values, weights, normalize=True):
    total = sum(weight * value for weight, value in zip(weights, values, strict=True))
    return total / sum(weights) if normalize else total


@pytest.fixture
def model():
    return shared()


@pytest.mark.parametrize("normalize", (True, False))
def test_weighted_mean(model, normalize):
    items, weights = tuned(model, 3), [2.0, -0.5, 1.5]
    patch = kr.merging.linear(model, items, weights=weights, normalize=normalize)
    expected = each_weight(lambda b, v: reference_linear(b, v, weights, normalize), model, items)
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-14)


def test_without_weights_it_is_the_uniform_soup(model):
    items = tuned(model, 3)
    soup = kr.merging.uniform_soup(model, items)
    for found, wanted in zip(deltas(kr.merging.linear(model, items)), deltas(soup), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


def test_variances_stay_variances():
    model = models.regularized()
    items, weights = tuned(model, 2), [0.5, 1.0]
    place = position(model, "norm/moving_variance")
    unscaled = kr.merging.linear(model, items, weights=weights, normalize=False)
    scaled = kr.merging.linear(model, items, weights=weights)
    np.testing.assert_array_equal(unscaled.delta(place), scaled.delta(place))
    negative = kr.merging.linear(model, items, weights=[2.0, -1.0])
    assert place not in negative.indices


def test_weights_that_add_up_to_zero(model):
    with pytest.raises(ValueError, match="`weights` must not add up to zero"):
        kr.merging.linear(model, tuned(model, 2), weights=[1.0, -1.0])
    with pytest.raises(ValueError, match="`weights` must hold 2 numbers"):
        kr.merging.linear(model, tuned(model, 2), weights=[1.0])
    with pytest.raises(TypeError, match="`weights` must hold numbers"):
        kr.merging.linear(model, tuned(model, 1), weights=["a"])
