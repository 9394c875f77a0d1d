"""Integers and scales of grids, against what the grids decode."""

import numpy as np
import pytest

from keras_compress.export.integer_form import integer_form, outside_the_grid
from keras_compress.grids import AffineGrid, PowerGrid, QuantizedMatrix, TableGrid

RNG = np.random.default_rng(0)
SCALES = RNG.uniform(0.1, 1.0, (6, 4)).astype("float32")
FP4 = [-6, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6]


def stored(grid, **more):
    codes = grid.encode(RNG.normal(size=(6, 4)))
    return QuantizedMatrix(codes, grid, (6, 4), (1,), **more)


WITH_INTEGERS = {
    "one scale": (AffineGrid(4, scale=0.2, zero_point=8), (6, 4)),
    "outputs": (AffineGrid(4, scale=SCALES[:1], zero_point=8), (6, 1)),
    "inputs": (AffineGrid(4, scale=SCALES[:, :1], zero_point=8), (1, 4)),
    "entries": (AffineGrid(4, scale=SCALES, zero_point=8), (1, 1)),
    "zero points": (AffineGrid(3, scale=0.2, zero_point=np.array([[0, 1, 7, 3]])), (6, 1)),
    "groups": (
        AffineGrid(4, scale=SCALES[:2], zero_point=np.full((2, 4), 7), group_size=4),
        (4, 1),
    ),
    "groups of outputs": (AffineGrid(4, scale=SCALES[:, :2], group_size=3, group_axis=1), (1, 3)),
    "half a code": (AffineGrid(3, scale=SCALES[:1], zero_point=3.5), (6, 1)),
    "levels": (AffineGrid(4, scale=0.3, levels=np.array([2, 3, 4, 5, 6, 7])), (6, 4)),
    "ternary": (TableGrid(2, table=[-1.0, 0.0, 1.0], scale=SCALES[:1]), (6, 1)),
    "binary with a negative scale": (TableGrid(1, table=[-2.0, 2.0], scale=-SCALES[:1]), (6, 1)),
    "small floats": (TableGrid(4, table=FP4, scale=SCALES[:1]), (6, 1)),
    "small floats in groups": (TableGrid(4, table=FP4, scale=SCALES[:2], group_size=4), (4, 1)),
    "two tables": (
        TableGrid(2, table=[[-1.0, 0, 3, 1], [0.0, 0, 0, 0]], assignment=np.array([0, 1, 1, 0])),
        (6, 1),
    ),
    "squares": (PowerGrid(4, scale=SCALES[:1], exponent=0.5), (6, 1)),
    "power of one": (PowerGrid(8, scale=0.1, exponent=1.0), (6, 4)),
}


@pytest.mark.parametrize("name", WITH_INTEGERS)
def test_the_values_are_those_of_the_grid(name):
    grid, group = WITH_INTEGERS[name]
    matrix = stored(grid)
    form = integer_form(matrix)
    assert form.codes.dtype == np.int16 and form.group == group
    np.testing.assert_allclose(form.values(), matrix.values(), rtol=2e-6, atol=1e-7)
    np.testing.assert_array_equal(form.centered().values(), form.values())
    assert not form.centered().zero_point.any()


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        (AffineGrid(3, scale=0.1, zero_point=0.25), "zero points are no integers"),
        (TableGrid(2, table=[0.0, 1.0, np.pi, 5.0]), "no multiples"),
        (TableGrid(2, table=[0.0, 1.0, 2.0], scale=0.0), "scale is zero"),
        (PowerGrid(4, scale=0.1, exponent=0.7), "no multiples"),
        (PowerGrid(4, scale=0.1, exponent=SCALES[:1]), "exponents differ"),
    ],
)
def test_grids_without_integers_say_why(grid, reason):
    codes = np.zeros((6, 4), "uint8")
    found = integer_form(QuantizedMatrix(codes, grid, (6, 4), (1,)))
    assert isinstance(found, str) and reason in found


def test_bits():
    form = integer_form(stored(AffineGrid(4, scale=0.01, zero_point=8)))
    assert not form.fits(4) and form.centered().fits(4)
    assert form.fits(8)


def test_what_no_integers_can_say():
    grid = AffineGrid(4, scale=0.2, zero_point=8)
    assert outside_the_grid(stored(grid)) is None
    assert outside_the_grid(stored(grid, input_scale=np.ones(6))) is None
    assert "scales" in outside_the_grid(stored(grid, input_scale=np.full(6, 2.0)))
    assert "rotated" in outside_the_grid(stored(grid, signs=np.ones(6)))
    assert "outliers" in outside_the_grid(stored(grid, outliers=([3], [1.0])))
