"""The share of values inside the range."""

import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy


@pytest.mark.parametrize("symmetric", [False, True])
def test_bounds_are_quantiles_of_each_channel(symmetric):
    x = normal(50, 3)
    quantizer = kc.quantizers.PercentileQuantizer(4, percentile=90.0, symmetric=symmetric)
    quantizer.initialize_from(x)
    if symmetric:
        high = np.quantile(np.abs(x), 0.9, axis=0)
        low = -high
    else:
        low, high = np.quantile(x, [0.1, 0.9], axis=0)
    np.testing.assert_allclose(numpy(quantizer.low)[0], low, rtol=1e-5)
    np.testing.assert_allclose(numpy(quantizer.high)[0], high, rtol=1e-5)


def test_a_single_outlier_costs_nothing():
    x = np.append(normal(999), np.float32(1000.0))
    narrow = kc.quantizers.PercentileQuantizer(4, axis=None, percentile=99.0)
    narrow.initialize_from(x)
    wide = kc.quantizers.PercentileQuantizer(4, axis=None, percentile=100)
    wide.initialize_from(x)
    assert float(wide.high) == 1000.0
    errors = [np.mean((numpy(one(x)) - x)[:-1] ** 2) for one in (narrow, wide)]
    assert errors[0] < 0.05 * errors[1]
