"""Values of variables bit for bit, on every backend and in every dtype."""

import keras
import numpy as np
import pytest

from keras_reweight.core.variable_bits import (
    assign_bits,
    native_array,
    native_dtype,
    read_bits,
    values_dtype,
)

# Zero, negative zero, infinity, a quiet and a signalling NaN with a payload, a subnormal number.
SPECIAL = {
    "float32": [0, 1 << 31, 0x7F800000, 0x7FC00123, 0xFFA00001, 1],
    "float16": [0, 1 << 15, 0x7C00, 0x7E12, 0xFD01, 1],
    "bfloat16": [0, 1 << 15, 0x7F80, 0x7FC3, 0xFFA1, 1],
    "int8": [0, 1, 255, 128, 127, 2],
    "uint8": [0, 1, 255, 128, 127, 2],
    "int32": [0, 1, 1 << 31, 7, 8, 9],
    "bool": [0, 1, 1, 0, 0, 1],
}


@pytest.mark.parametrize("dtype", SPECIAL)
def test_all_bits_come_back(dtype):
    width = {"bool": 1}.get(dtype) or np.dtype(dtype).itemsize
    bits = np.array(SPECIAL[dtype], f"u{width}").reshape(2, 3)
    variable = keras.Variable(np.zeros((2, 3), "float32"), dtype=dtype, trainable=False)
    assign_bits(variable, bits)
    found = read_bits(variable)
    assert values_dtype(variable) == dtype
    assert found.dtype == bits.dtype
    np.testing.assert_array_equal(found, bits)
    stored = native_array(found, dtype)
    assert stored.dtype == native_dtype(dtype)
    assert stored.dtype == ("uint16" if dtype == "bfloat16" else dtype)


def test_scalars_and_empty_arrays():
    for shape in ((), (0, 3)):
        variable = keras.Variable(np.ones(shape, "float32"))
        bits = read_bits(variable)
        assert bits.shape == shape
        assign_bits(variable, bits)
        np.testing.assert_array_equal(variable, np.ones(shape))


def test_bits_are_a_copy():
    variable = keras.Variable(np.zeros(3, "float32"))
    read_bits(variable)[:] = 1
    assert not np.any(keras.ops.convert_to_numpy(variable.value))
