import numpy as np
import pytest

from keras_compress.grids import LevelsGrid

LEVELS = np.array([1, 2, 3, 26, 256])
LOW, HIGH = np.array([-1.0, 0.0, -2.0]), np.array([1.0, 3.0, 0.0])


def reference(matrix):
    """Nearest values of a matrix `(rows, outputs)`."""
    found = np.zeros_like(matrix)
    for row, levels in enumerate(LEVELS):
        for output in range(3):
            if levels == 1:
                continue
            step = (HIGH[output] - LOW[output]) / (levels - 1)
            zero_point = round(-LOW[output] / step)
            code = min(max(round(matrix[row, output] / step) + zero_point, 0), levels - 1)
            found[row, output] = step * (code - zero_point)
    return found


def test_rounds_every_row_with_its_own_number_of_levels():
    matrix = np.random.default_rng(0).normal(size=(5, 3)) * 2
    grid = LevelsGrid(8, levels=LEVELS, low=LOW, high=HIGH)
    codes = grid.encode(matrix)
    assert codes.dtype == np.uint8 and (codes.max(axis=1) < LEVELS).all()
    assert np.allclose(grid.decode(codes), reference(matrix), atol=1e-6)
    assert grid.row_bits(5).tolist() == [0, 1, 2, 5, 8]


def test_is_read_back():
    grid = LevelsGrid(8, levels=LEVELS, low=LOW, high=HIGH)
    again = LevelsGrid.read(grid.settings(), grid.arrays(), (5, 3))
    codes = grid.encode(np.ones((5, 3)))
    assert np.array_equal(again.decode(codes), grid.decode(codes))
    for shape in ((4, 3), (5, 2)):
        with pytest.raises(ValueError, match="do not fit"):
            LevelsGrid.read(grid.settings(), grid.arrays(), shape)
    with pytest.raises(ValueError, match="unknown"):
        LevelsGrid.read({**grid.settings(), "scale": 1.0}, grid.arrays(), (5, 3))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"levels": [0, 2]}, "levels"),
        ({"levels": [2, 300]}, "levels"),
        ({"levels": [2.0, 3.0]}, "levels"),
        ({"low": [0.5]}, "low"),
        ({"high": [-0.5]}, "high"),
        ({"low": [0.0], "high": [0.0]}, "low"),
        ({"low": [[-1.0]]}, "low"),
        ({"bits": 9}, "bits"),
    ],
)
def test_bad_arguments(changes, name):
    arguments = {"bits": 8, "levels": [2, 3], "low": [-1.0], "high": [1.0], **changes}
    with pytest.raises(ValueError, match=name):
        LevelsGrid(arguments.pop("bits"), **{k: np.array(v) for k, v in arguments.items()})
