"""Quantile levels: what is refused, and how targets meet predictions."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.quantile_levels import check_quantiles, quantile_errors


def test_levels_are_returned_in_float64():
    np.testing.assert_array_equal(check_quantiles("quantiles", [0.1, 0.5]), [0.1, 0.5])


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0.5, TypeError),
        (["a"], TypeError),
        ([], ValueError),
        ([[0.5]], ValueError),
        ([0.0, 0.5], ValueError),
        ([0.5, 1.0], ValueError),
        ([0.5, float("nan")], ValueError),
        ([0.5, 0.5], ValueError),
        ([0.9, 0.1], ValueError),
    ],
)
def test_wrong_levels(value, error):
    with pytest.raises(error, match="quantiles"):
        check_quantiles("quantiles", value)


def test_targets_of_both_shapes():
    y_pred = np.zeros((2, 3), "float32")
    for y_true in (np.array([1.0, 2.0]), np.array([[1.0], [2.0]])):
        found = ops.convert_to_numpy(quantile_errors(y_true.astype("float32"), y_pred, 3))
        np.testing.assert_array_equal(found, [[1.0] * 3, [2.0] * 3])


def test_wrong_shapes():
    with pytest.raises(ValueError, match="y_pred"):
        quantile_errors(np.zeros(2), np.zeros((2, 3)), 4)
    with pytest.raises(ValueError, match="y_true"):
        quantile_errors(np.zeros((2, 3)), np.zeros((2, 3)), 3)
