import numpy as np
import pytest

from keras_compress.schedules import PolynomialDecay
from keras_compress.sparse_training import Evolution
from keras_compress.sparse_training._connections import evolved


def test_the_smallest_magnitudes_go_and_ties_by_index():
    weight = np.array([[3.0, -1.0, 0.0], [1.0, 2.0, -1.0]])
    mask = np.array([[True, True, False], [True, True, True]])
    dropped = Evolution().drop(weight, mask, 0.4)
    assert dropped.tolist() == [[False, True, False], [True, False, False]]
    assert not Evolution().drop(weight, mask, 0.1).any()
    assert (Evolution().drop(weight, mask, 1.0) == mask).all()


def test_a_share_is_not_lost_to_rounding():
    mask = np.ones(30, "bool")
    assert Evolution().drop(np.arange(30.0), mask, 0.1).sum() == 3


def test_fraction_over_time():
    evolution = Evolution(PolynomialDecay(0.4, 0.0, end_step=10, power=1.0), end=0.5)
    assert evolution.fraction_at(5, 0.25) == pytest.approx(0.2)
    assert evolution.fraction_at(5, None) == pytest.approx(0.2)
    assert evolution.fraction_at(5, 0.5) == 0.0
    with pytest.raises(ValueError, match="fraction at step 3"):
        Evolution(lambda step: 2.0).fraction_at(3, 0.0)


def test_a_dense_variable_stays_and_bad_gradients_are_refused():
    weight, mask = np.ones((2, 2)), np.ones((2, 2), "bool")
    rng = np.random.default_rng(0)
    found, new, value = evolved(Evolution(), 0.5, weight, mask, None, rng)
    assert found.all() and not new.any() and (value == weight).all()
    with pytest.raises(ValueError, match="gradients"):
        evolved(Evolution(), 0.5, weight, mask, np.full((2, 2), np.nan), rng)
    with pytest.raises(NotImplementedError, match="grow"):
        Evolution().grow(mask, 1, None, rng)


def test_equal_configs_are_equal():
    assert Evolution(0.2) == Evolution(0.2) != Evolution(0.3)
    assert hash(Evolution(0.2)) == hash(Evolution(0.2))
