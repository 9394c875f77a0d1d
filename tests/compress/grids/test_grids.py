"""Grids: codes, values, files."""

import numpy as np
import pytest

from keras_compress.grids import AffineGrid, PowerGrid, TableGrid
from keras_compress.grids.kinds import KINDS

RNG = np.random.default_rng(0)
MATRIX = RNG.normal(size=(5, 3))
SHAPE = MATRIX.shape


def _levels(grid, count):
    """Every value of the grid at every position, shape `(count, rows, outputs)`."""
    return np.stack([grid.decode(np.full(SHAPE, code, "uint8")) for code in range(count)])


def _nearest(grid, count):
    values = _levels(grid, count)
    return np.take_along_axis(values, np.abs(values - MATRIX).argmin(axis=0)[None], axis=0)[0]


GRIDS = {
    "one scale": (AffineGrid(3, scale=0.4, zero_point=3.0), 8),
    "mid-rise": (AffineGrid(2, scale=np.full((1, 3), 0.7), zero_point=1.5), 4),
    "outputs": (AffineGrid(4, scale=[[0.1, 0.2, 0.3]], zero_point=[[8, 7, 9]]), 16),
    "input groups": (
        AffineGrid(3, scale=RNG.uniform(0.2, 0.5, (3, 3)), zero_point=4, group_size=2),
        8,
    ),
    "output groups": (
        AffineGrid(
            3,
            scale=RNG.uniform(0.2, 0.5, (5, 2)),
            zero_point=RNG.integers(0, 8, (5, 2)),
            group_size=2,
            group_axis=1,
        ),
        8,
    ),
    "table": (TableGrid(2, table=[0.5, -1.0, 0.0]), 3),
    "tables": (TableGrid(1, table=[[-1.0, 1.0], [0.0, 2.0]], assignment=[1, 0, 1], scale=0.5), 2),
    "grouped table": (
        TableGrid(2, table=[-1.0, 0.2, 1.0], scale=RNG.uniform(0.3, 2.0, (3, 3)), group_size=2),
        3,
    ),
    "neighbors": (TableGrid(1, table=[[-1.0, 1.0], [0.0, 2.0]], assignment=[0, 0, 1]), 2),
    "own tables": (TableGrid(1, table=RNG.normal(size=(3, 2)), assignment=[0, 1, 2]), 2),
    "scaled table": (TableGrid(2, table=[-1.0, 0.0, 1.0], scale=[[0.5, 1.0, 2.0]]), 3),
}


@pytest.mark.parametrize("name", GRIDS)
def test_codes_are_those_of_the_nearest_levels(name):
    grid, count = GRIDS[name]
    codes = grid.encode(MATRIX)
    assert codes.dtype == np.uint8 and codes.max() < count
    np.testing.assert_allclose(grid.decode(codes), _nearest(grid, count), rtol=1e-6)
    np.testing.assert_array_equal(grid.encode(grid.decode(codes)), codes)


@pytest.mark.parametrize("name", [*GRIDS, "power"])
def test_a_grid_survives_its_arrays_and_settings(name):
    power = PowerGrid(3, scale=[[0.3, 0.4, 0.5]], exponent=0.7)
    grid = power if name == "power" else GRIDS[name][0]
    codes = grid.encode(MATRIX)
    again = KINDS[grid.kind].read(grid.settings(), grid.arrays(), SHAPE)
    np.testing.assert_array_equal(again.decode(codes), grid.decode(codes))
    for kind in KINDS.values():
        with pytest.raises(ValueError, match="unknown"):
            kind.read({**grid.settings(), "color": 1}, grid.arrays(), SHAPE)


def test_tables_of_groups_of_inputs_follow_the_formula():
    grid = TableGrid(
        1, table=[[1.0, 2.0], [0.0, 4.0]], assignment=[1, 0], scale=[[1, 2], [3, 5]], group_size=2
    )
    codes = np.array([[1, 0], [0, 1], [1, 1]], "uint8")
    np.testing.assert_array_equal(grid.decode(codes), [[4.0, 2.0], [0.0, 4.0], [12.0, 10.0]])


@pytest.mark.parametrize(
    ("assignment", "stored"), [([0, 1, 1, 0], 16), ([0, 0, 1, 1], 8), ([0, 1, 2, 3], 0)]
)
def test_neighbors_with_one_table_need_no_map(assignment, stored):
    grid = TableGrid(1, table=np.zeros((max(assignment) + 1, 2)), assignment=assignment)
    arrays = grid.arrays()
    assert sum(array.nbytes for name, array in arrays.items() if name != "table") == stored
    again = TableGrid.read(grid.settings(), arrays, (3, 4))
    np.testing.assert_array_equal(again.assignment, assignment)


def test_affine_values_follow_the_formula():
    grid = AffineGrid(
        3, scale=np.float32([[0.5, 2.0], [0.25, 1.0]]), zero_point=[[1, 2], [3, 4]], group_size=2
    )
    codes = np.array([[7, 0], [1, 2], [3, 4]], "uint8")
    np.testing.assert_array_equal(grid.decode(codes), [[3.0, -4.0], [0.0, 0.0], [0.0, 0.0]])


def test_rows_may_have_levels_of_their_own():
    grid = AffineGrid(3, scale=[[0.5, 1.0]], zero_point=1, levels=[1, 3, 8])
    codes = grid.encode(np.full((3, 2), 10.0))
    np.testing.assert_array_equal(codes, [[0, 0], [2, 2], [7, 7]])
    np.testing.assert_array_equal(grid.row_bits(3), [0, 2, 3])
    again = AffineGrid.read(grid.settings(), grid.arrays(), (3, 2))
    np.testing.assert_array_equal(again.levels, grid.levels)


def test_power_levels_follow_the_formula_and_exponent_one_is_uniform():
    grid = PowerGrid(3, scale=0.25, exponent=0.5)
    np.testing.assert_allclose(
        grid.decode(np.arange(1, 8, dtype="uint8")[:, None])[:, 0],
        [-(0.75**2), -0.25, -(0.25**2), 0.0, 0.25**2, 0.25, 0.75**2],
        rtol=1e-6,
    )
    uniform = AffineGrid(3, scale=0.25, zero_point=4)
    plain = PowerGrid(3, scale=0.25, exponent=1.0)
    clipped = np.clip(MATRIX, -0.75, 0.75)
    np.testing.assert_array_equal(plain.encode(clipped), uniform.encode(clipped))


@pytest.mark.parametrize(
    "make",
    [
        lambda: AffineGrid(0, scale=1.0),
        lambda: AffineGrid(9, scale=1.0),
        lambda: AffineGrid(True, scale=1.0),
        lambda: AffineGrid(4, scale=0.0),
        lambda: AffineGrid(4, scale=np.nan),
        lambda: AffineGrid(4, scale="a"),
        lambda: AffineGrid(4, scale=1.0, group_size=0),
        lambda: AffineGrid(4, scale=1.0, group_axis=2),
        lambda: AffineGrid(2, scale=1.0, levels=[5]),
        lambda: AffineGrid(2, scale=1.0, levels=[0.5]),
        lambda: TableGrid(1, table=[0.0, 1.0, 2.0]),
        lambda: TableGrid(1, table=[[0.0, 1.0]]),
        lambda: TableGrid(1, table=[[0.0, 1.0]], assignment=[1]),
        lambda: TableGrid(1, table=[0.0, 1.0], assignment=[0]),
        lambda: TableGrid(1, table=[0.0, 1.0], group_size=0),
        lambda: PowerGrid(1, scale=1.0, exponent=1.0),
        lambda: PowerGrid(4, scale=1.0, exponent=0.0),
    ],
)
def test_wrong_arguments_are_refused(make):
    with pytest.raises(ValueError):
        make()


@pytest.mark.parametrize(
    ("kind", "settings", "arrays"),
    [
        ("affine", {"bits": 4, "zero_point": 0.0}, {"scale": np.ones((1, 4))}),
        ("affine", {"bits": 4, "zero_point": 0.0, "group_size": 2}, {"scale": np.ones((2, 3))}),
        ("affine", {"bits": 4, "zero_point": 0.0}, {"scale": np.ones(3)}),
        ("affine", {"bits": 4}, {"scale": np.ones((1, 3))}),
        ("affine", {"bits": 4, "zero_point": 0}, {"scale": np.ones(()), "levels": np.ones(3, int)}),
        ("table", {"bits": 1, "scale": 1.0}, {"table": np.ones((1, 2)), "assignment": [0, 0]}),
        ("table", {"bits": 1}, {"table": np.ones(2), "scale": np.ones((4, 3))}),
        ("table", {"bits": 1, "group_size": 2}, {"table": np.ones(2), "scale": np.ones((2, 3))}),
        ("table", {"bits": 1, "scale": 1.0}, {"table": np.ones((2, 2)), "sizes": [1, 1]}),
        ("table", {"bits": 1, "scale": 1.0}, {"table": np.ones((2, 2)), "sizes": [3]}),
        ("table", {"bits": 1, "scale": 1.0}, {"table": np.ones((2, 2)), "sizes": [-1, 4]}),
        ("table", {"bits": 1, "scale": 1.0}, {"table": np.ones((2, 2))}),
        ("power", {"bits": 4, "exponent": 1.0}, {"scale": np.ones((2, 3))}),
    ],
)
def test_stored_fields_that_do_not_fit_are_refused(kind, settings, arrays):
    with pytest.raises(ValueError):
        KINDS[kind].read(settings, arrays, SHAPE)
