"""Every kind of matrix in and out of a file, without a model."""

import numpy as np
import pytest

from keras_compress.grids import AffineGrid, PowerGrid, QuantizedMatrix, TableGrid
from keras_compress.quantization.packed_format import pack_matrix, unpack_affine, unpack_matrix
from keras_reweight.core.model_file import WeightArrays

SHAPE = (3, 5, 4)
ROWS, OUTPUTS = 15, 4
RNG = np.random.default_rng(0)
SCALES = RNG.uniform(0.1, 1.0, (ROWS, OUTPUTS)).astype("float32")


def grids(bits):
    """Of every kind, with scales of the matrix, outputs, inputs and groups on both axes."""
    zeros = RNG.integers(0, 2**bits, (4, OUTPUTS))
    yield AffineGrid(bits, scale=0.5, zero_point=2 ** (bits - 1) - 0.5)
    yield AffineGrid(bits, scale=SCALES[:1], zero_point=1)
    yield AffineGrid(bits, scale=SCALES[:, :1])
    yield AffineGrid(bits, scale=SCALES[:4], zero_point=zeros, group_size=4)
    yield AffineGrid(bits, scale=SCALES[:, :2], group_size=3, group_axis=1)
    levels = RNG.integers(1, 2**bits + 1, ROWS)
    yield AffineGrid(bits, scale=SCALES[:1], levels=levels)
    entries = 2**bits - (bits > 1)
    yield TableGrid(bits, table=RNG.normal(size=entries), scale=SCALES[:1])
    yield TableGrid(bits, table=RNG.normal(size=(2, entries)), assignment=np.array([1, 0, 0, 1]))
    if bits > 1:
        yield PowerGrid(bits, scale=SCALES[:1], exponent=0.6)
        yield PowerGrid(bits, scale=0.2, exponent=SCALES[:1])


def extras():
    signs = RNG.choice([-1, 1], ROWS)
    outliers = (np.array([3, 58, 17]), np.array([40.0, 0.0, -7.25], "float16"))
    return {"input_scale": SCALES[:, 0], "signs": signs, "outliers": outliers}


def stored(grid, **more):
    codes = grid.encode(RNG.normal(size=(ROWS, OUTPUTS)))
    return QuantizedMatrix(codes, grid, SHAPE, (2,), **more)


def read(fields, arrays, unpack=unpack_matrix, shape=SHAPE):
    named = {f"7.{part}": array for part, array in arrays.items()}
    left = set(named)
    found = unpack({"shape": list(shape)} | fields, WeightArrays(7, named, left))
    assert not left
    return found


@pytest.mark.parametrize("bits", range(1, 9))
def test_all_grids_come_back_bit_for_bit(bits):
    for grid in grids(bits):
        for more in ({}, extras()):
            matrix = stored(grid, **more)
            fields, arrays = pack_matrix(matrix)
            assert arrays["codes"].nbytes == matrix.code_bytes
            assert sum(array.nbytes for array in arrays.values()) == matrix.num_bytes
            found = read(fields, arrays)
            np.testing.assert_array_equal(found.codes, matrix.codes)
            assert found.values().tobytes() == matrix.values().tobytes()
            assert found.channel_axes == matrix.channel_axes and found.bits == bits


def test_rows_of_different_widths_take_their_own_bits():
    grid = AffineGrid(5, scale=1.0, levels=np.array([1, 2, 5, 32]))
    codes = np.array([[0, 0, 0], [1, 0, 1], [4, 2, 3], [31, 0, 17]], "uint8")
    fields, arrays = pack_matrix(QuantizedMatrix(codes, grid, (4, 3), (1,)))
    # 0 + 1 + 3 + 5 bits for each of three outputs
    assert arrays["codes"].nbytes == 4
    bits = np.unpackbits(arrays["codes"], bitorder="little")
    assert bits[:6].tolist() == [1, 0, 1, 0, 0, 1]
    np.testing.assert_array_equal(read(fields, arrays, shape=(4, 3)).codes, codes)


def test_version_1_had_a_scale_for_some_axes():
    codes = np.array([[0, 3, 1], [2, 2, 1]], "uint8")
    scale = np.array([[0.5, 1.0, 2.0]], "float32")
    packed = np.packbits(
        np.array([[code & 1, code >> 1] for code in codes.reshape(-1)], "uint8"), bitorder="little"
    )
    record = {"bits": 2, "zero_point": 1.5}
    found = read(record, {"codes": packed, "scale": scale}, unpack_affine, (2, 3))
    np.testing.assert_array_equal(found.values(), (codes - 1.5) * scale)
    one = read(record, {"codes": packed, "scale": np.float32(0.5)}, unpack_affine, (2, 3))
    np.testing.assert_array_equal(one.values(), (codes - 1.5) * 0.5)


def changed(part=None, value=None, **fields):
    return part, value, fields


TABLE = TableGrid(3, table=np.arange(5.0), scale=1.0)
BROKEN = {
    "channel_axes .3. are no sorted axes": changed(channel_axes=[3]),
    "channel_axes .2, 2. are no": changed(channel_axes=[2, 2]),
    "channel_axes 2 are no": changed(channel_axes=2),
    "grid 'fractal' is unknown": changed(grid="fractal"),
    "grid_arrays 'table' is no list": changed(grid_arrays="table"),
    "array '7.grid.scales' is missing": changed(grid_arrays=["scales"]),
    "parts .'magic'. are unknown": changed(parts=["magic"]),
    "do not describe a grid": changed(settings={"bits": 3}),
    "needs settings": changed(settings=[]),
    "`bits` must be an integer from 1 to 8, got 9": changed(settings={"bits": 9, "scale": 1.0}),
    "must hold numbers": changed(settings={"bits": 3, "scale": "one"}),
    "input scales are float64": changed("input_scale", np.ones(15)),
    "signs of shape .3,. do not hold 15": changed("signs", np.zeros(3, "uint8")),
    "positions must be in 0..59": changed("outlier_index", np.array([1, 2, 60], "uint32")),
    "a position appears twice": changed("outlier_index", np.array([1, 2, 2], "uint32")),
    "outliers are float16 of shape .2,.": changed("outlier_values", np.zeros(2, "float16")),
    "outliers are float32": changed("outlier_values", np.zeros(3, "float32")),
    "a value is not finite": changed("outlier_values", np.full(3, np.inf, "float16")),
    "codes of shape .2,. do not hold": changed("codes", np.zeros(2, "uint8")),
    "a code has no entry in the table": changed("codes", np.full(23, 255, "uint8")),
    "`table` has values that are not finite": changed("grid.table", np.full(5, np.nan, "float32")),
}


@pytest.mark.parametrize("message", BROKEN)
def test_every_field_is_checked(message):
    part, value, fields = BROKEN[message]
    record, arrays = pack_matrix(stored(TABLE, **extras()))
    if part is not None:
        assert part in arrays
        arrays[part] = value
    with pytest.raises(ValueError, match=message):
        read(record | fields, arrays)
