"""The stored form of one matrix, and the layout and rotation it rests on."""

import numpy as np
import pytest

from keras_compress.grids import AffineGrid, QuantizedMatrix
from keras_compress.grids.hadamard import hadamard_block, hadamard_transform
from keras_compress.grids.matrix_layout import to_kernel, to_matrix

RNG = np.random.default_rng(0)
GRID = AffineGrid(4, scale=np.full((1, 3), 0.25), zero_point=8)
CODES = RNG.integers(0, 16, (8, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("shape", "axes", "matrix_shape"),
    [
        ((4, 3), (-1,), (4, 3)),
        ((4, 3), (0,), (3, 4)),
        ((2, 2, 3, 5), (-1,), (12, 5)),
        ((2, 3, 4, 2), (2, 3), (6, 8)),
        ((2, 3, 4, 2), (-2,), (12, 4)),
        ((4, 3), None, (12, 1)),
        ((4,), (), (4, 1)),
    ],
)
def test_matrix_layout_goes_forth_and_back(shape, axes, matrix_shape):
    kernel = RNG.normal(size=shape)
    matrix = to_matrix(kernel, axes)
    assert matrix.shape == matrix_shape
    np.testing.assert_array_equal(to_kernel(matrix, shape, axes), kernel)


def test_outputs_of_a_matrix_are_the_channels():
    kernel = RNG.normal(size=(2, 3, 4, 2))
    np.testing.assert_array_equal(to_matrix(kernel, (2, 3))[:, 5], kernel[:, :, 2, 1].ravel())


@pytest.mark.parametrize("rows", [1, 2, 8, 12, 7])
def test_hadamard_transform_is_orthogonal_and_its_own_inverse(rows):
    matrix = hadamard_transform(np.eye(rows))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(rows), atol=1e-12)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    block = hadamard_block(rows)
    assert rows % block == 0 and np.count_nonzero(matrix[0]) == block


def test_hadamard_of_two_is_sylvesters():
    np.testing.assert_allclose(hadamard_transform(np.eye(2)), np.array([[1, 1], [1, -1]]) / 2**0.5)


def test_values_undo_rotation_scale_and_outliers_in_this_order():
    signs = np.where(RNG.random(8) < 0.5, -1, 1)
    input_scale = RNG.uniform(0.5, 2.0, 8)
    outliers = (np.array([4, 23]), np.array([7.0, -3.0]))
    stored = QuantizedMatrix(CODES, GRID, (2, 4, 3), (2,), input_scale, signs, outliers)
    expected = (CODES.astype("float64") - 8.0) * 0.25
    expected = signs[:, None] * (hadamard_transform(np.eye(8)) @ expected)
    expected = expected / input_scale[:, None]
    expected[1, 1], expected[7, 2] = 7.0, -3.0
    np.testing.assert_allclose(stored.values(), expected.reshape(2, 4, 3), rtol=1e-5, atol=1e-6)


def test_bytes_count_everything():
    plain = QuantizedMatrix(CODES, GRID, (8, 3), (1,))
    assert plain.code_bytes == 12 and plain.num_bytes == 12 + 3 * 4
    assert plain.bits_per_weight == 8 * plain.num_bytes / 24
    rich = QuantizedMatrix(
        CODES, GRID, (8, 3), (1,), np.ones(8), np.ones(8), (np.array([1]), np.array([1.0]))
    )
    assert rich.num_bytes == plain.num_bytes + 8 * 4 + 1 + 6


def test_rows_of_few_levels_take_few_bits():
    grid = AffineGrid(4, scale=1.0, levels=[1, 2, 3, 16, 16, 1, 1, 1])
    assert QuantizedMatrix(CODES, grid, (8, 3), (1,)).code_bytes == (3 * (1 + 2 + 4 + 4) + 7) // 8


@pytest.mark.parametrize(
    "change",
    [
        {"codes": CODES.astype("int32")},
        {"codes": CODES[:4]},
        {"channel_axes": (0,)},
        {"input_scale": np.ones(3)},
        {"input_scale": -np.ones(8)},
        {"signs": np.full(8, 2)},
        {"outliers": (np.array([24]), np.array([1.0]))},
        {"outliers": (np.array([1, 1]), np.array([1.0, 2.0]))},
        {"outliers": (np.array([1]), np.array([1e6]))},
    ],
)
def test_parts_that_do_not_fit_are_refused(change):
    parts = {"codes": CODES, "grid": GRID, "shape": (8, 3), "channel_axes": (1,), **change}
    with pytest.raises(ValueError):
        QuantizedMatrix(**parts)
