import numpy as np
import pytest

from keras_reweight.core.weight_change import WeightChange


def test_numbers_of_a_change():
    change = WeightChange.between("w", np.array([[3.0, 4.0]]), np.array([[3.0, 0.0]]))
    assert change == WeightChange("w", 2, 5.0, 4.0, 0.8, 4.0, 0.6, 0.5)


def test_several_arrays_count_as_one():
    rng = np.random.default_rng(0)
    parts = [(rng.normal(size=s), rng.normal(size=s)) for s in ((2, 3), (4,))]
    joined = [np.concatenate([part[i].reshape(-1) for part in parts]) for i in (0, 1)]
    assert WeightChange.of_parts("w", parts) == WeightChange.between("w", *joined)


def test_zeros_and_no_change():
    zero, one = np.zeros(3), np.ones(3)
    same = WeightChange.between("w", zero, zero)
    assert (same.relative, same.cosine, same.share_changed) == (0.0, 1.0, 0.0)
    born = WeightChange.between("w", zero, one)
    assert (born.relative, born.cosine, born.change) == (float("inf"), 0.0, pytest.approx(3**0.5))
