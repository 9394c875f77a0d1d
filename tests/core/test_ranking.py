"""Ranks with ties, and shares that float32 cannot hold."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.ranking import ceil_share, floor_share, ranks


def test_ranks_along_the_last_axis_with_ties_by_position():
    values = np.array([[3.0, 1.0, 2.0, 1.0], [0.5, 0.5, 0.5, 0.5]], "float32")
    found = ops.convert_to_numpy(ranks(values))
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[3, 0, 2, 1], [0, 1, 2, 3]])


@pytest.mark.parametrize("count", [1, 7, 10, 100, 1000])
def test_shares_are_those_of_the_decimal_number(count):
    decimals = range(1, 101)
    shares = ops.convert_to_tensor(np.array([d / 100 for d in decimals], "float32"))
    exact = [Fraction(d, 100) * count for d in decimals]
    number = ops.convert_to_tensor(np.float32(count))
    found = ops.convert_to_numpy(floor_share(shares, number))
    np.testing.assert_array_equal(found, [floor(value) for value in exact])
    found = ops.convert_to_numpy(ceil_share(shares, number))
    np.testing.assert_array_equal(found, [ceil(value) for value in exact])
