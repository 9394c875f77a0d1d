"""The range of least error, against a search in NumPy."""

import numpy as np
import pytest

import keras_compress as kc
from tests.compress.quantization.common import normal, numpy
from tests.compress.quantizers.test_min_max import rounded


def best_range(column, bits, symmetric, norm, num_candidates):
    low, high = min(column.min(), 0.0), max(column.max(), 0.0)
    shares = np.linspace(1.0, 0.2, num_candidates)
    errors = [
        np.sum(np.abs(rounded(column, p * low, p * high, bits, symmetric) - column) ** norm)
        for p in shares
    ]
    best = shares[int(np.argmin(errors))]
    return best * low, best * high


@pytest.mark.parametrize("bits, symmetric, norm, number", [(2, False, 2.0, 21), (3, True, 2.4, 81)])
def test_finds_the_best_candidate(bits, symmetric, norm, number):
    x = normal(40, 3)
    quantizer = kc.quantizers.MSEQuantizer(
        bits, symmetric=symmetric, norm=norm, num_candidates=number
    )
    quantizer.initialize_from(x)
    expected = [best_range(column, bits, symmetric, norm, number) for column in x.T.astype(float)]
    np.testing.assert_allclose(numpy(quantizer.low)[0], [low for low, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(numpy(quantizer.high)[0], [high for _, high in expected], rtol=1e-5)
    assert np.any(numpy(quantizer.high)[0] < x.max(axis=0))


def test_exact_values_keep_the_whole_range():
    x = np.arange(-8.0, 8.0, dtype="float32")
    quantizer = kc.quantizers.MSEQuantizer(4, axis=None, num_candidates=5)
    quantizer.initialize_from(x)
    np.testing.assert_array_equal(numpy(quantizer(x)), x)
