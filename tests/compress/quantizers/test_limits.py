"""Limits and the inside of a range, against selections."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.quantizers.limits import limited, limited_inside

# JAX has no float64 unless it is told to.
DTYPES = ("float32",) if keras.backend.backend() == "jax" else ("float32", "float64")


@pytest.mark.parametrize("bounds", [(-8, 7), (0, 15), (-128, 127), (0, 255), (0, 1)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_inside_and_codes_are_those_of_selections(bounds, dtype):
    low, high = bounds
    edges = np.array([low, high], dtype)
    steps = np.nextafter(edges, edges[::-1])
    outward = np.nextafter(edges, np.array([-np.inf, np.inf], dtype))
    others = np.array([0.0, 1e-30, -1e-30, 0.5, 1e30, -1e30, np.inf, -np.inf], dtype)
    values = np.concatenate(
        [edges, steps[steps != 0.0], outward, others, np.linspace(-300, 300, 97)]
    )
    values = values[(np.abs(values) > 1e-37) | (values == 0.0)].astype(dtype)
    x = ops.convert_to_tensor(values, dtype=dtype)
    limit, inside = (ops.convert_to_numpy(one) for one in limited_inside(x, low, high, strict=True))
    wanted = (values > low) & (values < high)
    np.testing.assert_array_equal(inside, wanted.astype("float32"))
    np.testing.assert_array_equal(np.round(limit), np.round(np.clip(values, low, high)))
    np.testing.assert_array_equal(limit[wanted], values[wanted])
    whole = ops.round(ops.where(ops.isfinite(x), x, ops.cast(1e6, dtype)))
    limit, inside = limited_inside(whole, low, high, strict=False)
    numbers = ops.convert_to_numpy(whole)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(inside), ((numbers >= low) & (numbers <= high)).astype("float32")
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(limit), np.clip(numbers, low, high))


def test_what_is_no_number_stays_none():
    x = ops.convert_to_tensor(np.array([np.nan, 1.0], "float32"))
    assert np.isnan(ops.convert_to_numpy(limited(x, -8, 7))[0])
