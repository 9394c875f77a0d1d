import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import arrays_of, deltas, each_weight, shared, tuned


def reference_wise_ft(base, values, alpha):
    return (1.0 - alpha) * base + alpha * values[0]


@pytest.fixture
def model():
    return shared()


def test_on_the_line(model):
    (other,) = tuned(model, 1)
    patch = kr.merging.wise_ft(model, other, alpha=0.3)
    expected = each_weight(lambda b, v: reference_wise_ft(b, v, 0.3), model, [other])
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-12)


def test_the_strength_of_the_whole_way_is_the_position(model):
    (other,) = tuned(model, 1)
    whole = kr.merging.wise_ft(model, other, alpha=1.0)
    part = kr.merging.wise_ft(model, other, alpha=0.4)
    for one, two in zip(deltas(0.4 * whole), deltas(part), strict=True):
        np.testing.assert_array_equal(one, two)
    with whole.patched(model):
        for found, wanted in zip(arrays_of(model), arrays_of(other), strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_default_of_the_paper_and_bad_arguments(model):
    (other,) = tuned(model, 1)
    np.testing.assert_array_equal(
        kr.merging.wise_ft(model, other).delta(0),
        kr.merging.wise_ft(model, other, alpha=0.75).delta(0),
    )
    with pytest.raises(ValueError, match="`alpha`"):
        kr.merging.wise_ft(model, other, alpha=1.5)
    with pytest.raises(TypeError, match="`tuned`"):
        kr.merging.wise_ft(model, None)
