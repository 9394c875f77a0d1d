import numpy as np
import pytest

from keras_compress.post_training.affine_ranges import affine_grid, affine_range
from tests.compress.post_training.common import reference_range, reference_rounded

VALUES = np.random.default_rng(0).normal(size=(7, 4)) * [1.0, 5.0, 0.1, 1.0]
VALUES[:, 3] = np.abs(VALUES[:, 3])


@pytest.mark.parametrize("symmetric", [False, True])
def test_is_the_formula_for_each_column(symmetric):
    found = affine_range(VALUES, 3, symmetric=symmetric)
    for column in range(4):
        scale, zero_point = reference_range(VALUES[:, column], 3, symmetric)
        assert found.scale[column] == scale and found.zero_point[column] == zero_point


def test_zero_is_a_level_of_every_range():
    for values in (VALUES, -np.abs(VALUES) - 1.0, np.abs(VALUES) + 1.0):
        found = affine_range(values, 4)
        assert (found.zero_point >= 0).all() and (found.zero_point <= 15).all()
        assert (found.nearest(np.zeros(4)) == 0.0).all()


def test_a_column_of_zeros_stays_one():
    found = affine_range(np.zeros((5, 2)), 4)
    assert (found.scale > 0).all() and (found.nearest(np.zeros((5, 2))) == 0.0).all()


def test_tiny_numbers_have_a_positive_float32_step():
    found = affine_range(np.array([[1e-50], [-1e-50]]), 4)
    assert np.float32(found.scale[0]) > 0 and np.isfinite(found.codes(np.zeros((1, 1)))).all()


def test_the_range_of_least_error_is_the_best_of_all_shares():
    def error(column, share):
        scaled = share * np.array([VALUES[:, column].min(), VALUES[:, column].max()])
        found = reference_range(scaled, 2)
        values = [reference_rounded(value, *found, 2) for value in VALUES[:, column]]
        return (np.abs(VALUES[:, column] - values) ** 2.4).sum()

    found = affine_range(VALUES, 2, clip="mse")
    mistakes = (np.abs(found.nearest(VALUES) - VALUES) ** 2.4).sum(axis=0)
    for column in range(3):
        best = min(error(column, 1.0 - step / 100) for step in range(80))
        assert mistakes[column] == pytest.approx(best, rel=1e-9)


def test_groups_of_either_axis_end_with_a_shorter_one():
    grid = affine_grid(VALUES, 3, group_size=3)
    assert grid.scale.shape == (3, 4)
    assert grid.scale[2, 1] == np.float32(reference_range(VALUES[6:, 1], 3)[0])
    grid = affine_grid(VALUES, 3, group_size=3, group_axis=1)
    assert grid.scale.shape == (7, 2)
    assert grid.scale[4, 1] == np.float32(reference_range(VALUES[4, 3:], 3)[0])
    assert grid.decode(grid.encode(VALUES)).shape == VALUES.shape
