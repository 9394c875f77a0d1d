"""Running maxima, minima and log-sums against NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.core.scans import cumulative_max, reverse_cumulative_min, suffix_logsumexp
from keras_reweight.core.testing.backends import evaluate, gradient


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8])
def test_running_extremes(size):
    x = np.random.default_rng(size).normal(size=(3, 2, size)).astype("float32")
    found = evaluate(cumulative_max, x)
    np.testing.assert_array_equal(found, np.maximum.accumulate(x, axis=-1))
    found = evaluate(reverse_cumulative_min, x)
    np.testing.assert_array_equal(found, np.minimum.accumulate(x[..., ::-1], axis=-1)[..., ::-1])


@pytest.mark.parametrize("size", [1, 2, 5, 8, 11])
def test_suffix_logsumexp(size):
    x = np.random.default_rng(size).normal(size=(3, size)).astype("float32")
    expected = [[np.log(np.exp(row[k:]).sum()) for k in range(size)] for row in x.astype("float64")]
    found = evaluate(suffix_logsumexp, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_suffix_logsumexp_far_below_the_maximum():
    x = np.array([[200.0, -150.0, -151.0, 90.0, -300.0]], "float32")
    found = evaluate(suffix_logsumexp, x)
    np.testing.assert_allclose(found, [[200.0, 90.0, 90.0, 90.0, -300.0]])
    slope = gradient(lambda value: ops.sum(suffix_logsumexp(value)), x)
    np.testing.assert_allclose(slope, [[1.0, 0.0, 0.0, 3.0, 1.0]], atol=1e-6)


def test_suffix_logsumexp_of_equal_numbers_has_the_slope_of_the_softmax():
    x = np.full((1, 4), 0.5, "float32")
    slope = gradient(lambda value: ops.sum(suffix_logsumexp(value)), x)
    shares = [sum(1.0 / (4 - k) for k in range(column + 1)) for column in range(4)]
    np.testing.assert_allclose(slope, [shares], rtol=1e-6)
