"""Limits of a range, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.quantizers.limits import limited

# JAX has no float64 unless it is told to.
DTYPES = ("float32",) if keras.backend.backend() == "jax" else ("float32", "float64")


@pytest.mark.parametrize("bounds", [(-8, 7), (0, 255), (0, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_limits_are_those_of_a_selection(bounds, dtype):
    edges = np.array(bounds, dtype)
    outward = np.nextafter(edges, np.array([-np.inf, np.inf], dtype))
    others = np.array([0.5, 1e30, -1e30, np.inf, -np.inf], dtype)
    values = np.concatenate([edges, outward, others, np.linspace(-300, 300, 97)]).astype(dtype)
    found = limited(ops.convert_to_tensor(values, dtype=dtype), *bounds)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    np.testing.assert_array_equal(ops.convert_to_numpy(found), np.clip(values, *bounds))


def test_what_is_no_number_stays_none():
    x = ops.convert_to_tensor(np.array([np.nan, 1.0], "float32"))
    assert np.isnan(ops.convert_to_numpy(limited(x, -8, 7))[0])
