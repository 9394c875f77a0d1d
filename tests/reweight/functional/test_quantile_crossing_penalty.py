"""The crossing penalty against its double loop and the numbers of the official code."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

LEVELS = np.array([0.1, 0.25, 0.5, 0.75, 0.9])
CROSSING = np.array([[1, 0.8, 1.5, 1.4, 2], [0, 1, 0.5, 2, 1.9]], "float32")


def reference(values, margin=0.0):
    size = values.shape[-1]
    rows = values.reshape(-1, size)
    found = np.zeros(len(rows))
    for row, q in enumerate(rows):
        for i in range(size):
            for j in range(i):
                m = max(margin[i] - margin[j], 0.0) if np.ndim(margin) else margin
                found[row] += max(q[j] - q[i] + m, 0.0)
    return found.reshape(values.shape[:-1]) / (size * (size - 1) / 2)


def penalty(values, **arguments):
    return ops.convert_to_numpy(kr.functional.quantile_crossing_penalty(values, **arguments))


def test_numbers_of_the_official_code():
    np.testing.assert_allclose(penalty(CROSSING, margin=0.05).mean(), 0.055, rtol=1e-5)
    margins = list(0.1 * LEVELS)
    np.testing.assert_allclose(penalty(CROSSING, margin=margins).mean(), 0.049, rtol=1e-5)


def test_zero_for_values_in_order_and_for_one_level():
    np.testing.assert_array_equal(penalty(np.sort(CROSSING)), 0.0)
    np.testing.assert_array_equal(penalty(CROSSING[:, :1], margin=0.3), 0.0)


def test_any_leading_axes():
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    expected = reference(values.astype("float64"), 0.1)
    np.testing.assert_allclose(penalty(values, margin=0.1), expected, rtol=1e-5, atol=1e-7)


def test_bad_margins():
    with pytest.raises(ValueError, match="margin"):
        penalty(CROSSING, margin=-0.1)
    with pytest.raises(ValueError, match="margin"):
        penalty(CROSSING, margin=[0.1, 0.2])
