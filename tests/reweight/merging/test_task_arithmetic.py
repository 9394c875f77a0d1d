import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.merging.ingredients import arrays_of, deltas, each_weight, shared, tuned
from tests.reweight.signatures import models


def reference_task_arithmetic(base, values, weights):
    return base + sum(w * (value - base) for w, value in zip(weights, values, strict=True))


@pytest.fixture
def model():
    return shared()


def test_sum_of_task_vectors(model):
    items, weights = tuned(model, 3), [0.5, -1.0, 2.0]
    patch = kr.merging.task_arithmetic(model, items, weights=weights)
    expected = each_weight(lambda b, v: reference_task_arithmetic(b, v, weights), model, items)
    for found, wanted in zip(deltas(patch), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-12)


def test_numbers_of_the_paper():
    """theta_pre = [1, 2], theta_ft = [2, 0]: half of the way is [1.5, 1], negated [0.5, 3]."""
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = keras.Sequential([keras.Input((2,)), dense])
    model.weights[0].assign([[2.0], [0.0]])
    other = kr.WeightSnapshot(model)
    model.weights[0].assign([[1.0], [2.0]])
    patch = kr.merging.task_arithmetic(model, [other])
    for alpha, wanted in ((0.5, [[1.5], [1.0]]), (-0.5, [[0.5], [3.0]])):
        with patch.patched(model, alpha):
            np.testing.assert_array_equal(arrays_of(model)[0], wanted)


def test_one_task_at_full_strength_is_the_model_itself(model):
    (other,) = tuned(model, 1)
    with kr.merging.task_arithmetic(model, [other]).patched(model):
        assert kr.weight_digest(model) == other.digest()


def test_moving_statistics_are_left_alone():
    model = models.regularized()
    patch = kr.merging.task_arithmetic(model, tuned(model, 2))
    assert not any("moving" in path for path in patch.paths)
    assert {"norm/gamma", "norm/beta"} <= set(patch.paths)


def test_the_pretrained_model_must_be_the_start():
    model, items = models.dense(units=64), [models.dense(seed=3, units=64)]
    message = r"`tuned` \[0\] have nothing in common with .* `model`"
    # The suite makes errors of warnings.
    with pytest.raises(UserWarning, match=message):
        kr.merging.task_arithmetic(model, items)
