from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_compress.grids import AffineGrid, PowerGrid, TableGrid
from keras_compress.post_training import (
    AWQ,
    GPTQ,
    Codebook,
    CoordinateDescent,
    LayerProblem,
    PowerSearch,
    RoundToNearest,
    Solver,
)
from tests.compress.post_training.outlier_layers import correlated_problem


class Fixed(Solver):
    """The codes nearest to the kernel on a given grid."""

    def __init__(self, grid):
        self.grid = grid

    def solve(self, problem):
        return problem.stored(self.grid.encode(problem.weight), self.grid)


def reference_descent(start, levels, gram, goal, sweeps):
    """Try every level of every weight; `levels(row, output)` lists them."""
    values = np.array(start, "float64")
    for _ in range(sweeps):
        for row in range(len(values)):
            for output in range(values.shape[1]):
                column = values[:, output]

                def loss(value):
                    trial = column.copy()  # noqa: B023
                    trial[row] = value  # noqa: B023
                    return trial @ gram @ trial - 2.0 * trial @ goal[:, output]  # noqa: B023

                column[row] = min(levels(row, output), key=loss)
    return values


def damped(gram, damping=0.01):
    return gram + damping * np.mean(np.diag(gram)) * np.eye(len(gram))


def small_problem(**fields):
    return correlated_problem(2, rows=9, **fields)


@pytest.mark.parametrize("sweeps", [1, 3])
def test_equals_trying_every_level(sweeps):
    problem = small_problem()
    start = RoundToNearest().solve(problem)
    grid = start.grid
    gram = damped(problem.gram)
    expected = reference_descent(
        start.values(),
        lambda row, output: grid.scale[0, output] * (np.arange(4.0) - grid.zero_point[0, output]),
        gram,
        gram @ problem.weight,
        sweeps,
    )
    found = CoordinateDescent(RoundToNearest(), sweeps=sweeps).solve(problem)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-5, atol=1e-6)


def grids():
    generator = np.random.default_rng(4)
    scale = generator.uniform(0.1, 0.4, (3, 16))
    yield AffineGrid(2, scale=scale, zero_point=np.full((3, 16), 1.5), group_size=3)
    by_input = generator.uniform(0.1, 0.4, (9, 4))
    yield AffineGrid(2, scale=by_input, zero_point=1.0, group_size=4, group_axis=1)
    yield AffineGrid(3, scale=0.2, zero_point=2.0, levels=np.array([1, 2, 3, 4, 5, 6, 7, 8, 8]))
    yield PowerGrid(3, scale=scale[:1], exponent=0.6)
    tables = generator.normal(size=(2, 3))
    yield TableGrid(2, table=tables, assignment=np.arange(16) % 2, scale=by_input[:, :1])


@pytest.mark.parametrize("grid", list(grids()), ids=lambda grid: grid.kind)
def test_every_kind_of_grid(grid):
    problem = small_problem()
    codes = np.arange(256).astype("uint8")

    def levels(row, output):
        count = 2**grid.bits if getattr(grid, "levels", None) is None else grid.levels[row]
        first = 1 if grid.kind == "power" else 0
        count = 3 if grid.kind == "table" else count
        found = []
        for code in codes[first:count]:
            found.append(grid.decode(np.full((9, 16), code))[row, output])
        return found

    gram = damped(problem.gram)
    start = Fixed(grid).solve(problem).values()
    expected = reference_descent(start, levels, gram, gram @ problem.weight, 1)
    found = CoordinateDescent(Fixed(grid), sweeps=1).solve(problem)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-5, atol=1e-6)


def test_never_worse_and_better_than_the_start():
    problem = correlated_problem(3, rows=80)
    for solver in (RoundToNearest(), GPTQ(), PowerSearch(), Codebook()):
        start = solver.solve(problem)
        errors = [problem.error(start.values())]
        for sweeps in (1, 4):
            found = CoordinateDescent(solver, sweeps=sweeps, damping=0.0).solve(problem)
            errors.append(problem.error(found.values()))
        assert errors[2] <= errors[1] < errors[0]
        assert found.codes.dtype == np.uint8


def test_a_second_run_changes_nothing_after_the_last_change():
    problem = small_problem()
    settled = CoordinateDescent(RoundToNearest(), sweeps=50).solve(problem)
    again = CoordinateDescent(RoundToNearest(), sweeps=51).solve(problem)
    np.testing.assert_array_equal(settled.codes, again.codes)


def test_asymmetric_reaches_the_outputs_of_the_float_model():
    base = correlated_problem(3)
    exact = base.inputs * 1.3
    problem = LayerProblem.from_inputs(base.weight, base.inputs, bits=3, float_inputs=exact)

    def error(asymmetric):
        solver = CoordinateDescent(RoundToNearest(), asymmetric=asymmetric)
        found = solver.solve(problem).values()
        return np.square(problem.targets - base.inputs @ found).sum()

    assert error(True) < 0.9 * error(False)


def test_inputs_that_are_always_zero_keep_the_nearest_code():
    problem = small_problem()
    inputs = problem.inputs.copy()
    inputs[:, 4] = 0.0
    problem = LayerProblem.from_inputs(problem.weight, inputs, bits=2)
    nearest = RoundToNearest().solve(problem).codes[4]
    for damping in (0.0, 0.01):
        solver = CoordinateDescent(RoundToNearest(), damping=damping)
        np.testing.assert_array_equal(solver.solve(problem).codes[4], nearest)


def test_results_depend_on_the_data():
    problem = small_problem()
    other = LayerProblem.from_inputs(problem.weight, problem.inputs[:, ::-1], bits=2)
    solver = CoordinateDescent(RoundToNearest())
    assert not np.array_equal(solver.solve(problem).codes, solver.solve(other).codes)


def test_stored_parts_belong_around_it():
    with pytest.raises(ValueError, match="`input_scale`"):
        CoordinateDescent(AWQ()).solve(small_problem())
    around = AWQ(CoordinateDescent(RoundToNearest())).solve(small_problem())
    assert around.input_scale is not None


def test_needs():
    assert CoordinateDescent(RoundToNearest()).needs == {"gram"}
    assert CoordinateDescent(GPTQ(), asymmetric=True).needs == {"gram", "cross"}
    with pytest.raises(ValueError, match="no `gram`"):
        problem = dataclasses.replace(small_problem(), gram=None, inputs=None)
        CoordinateDescent(RoundToNearest()).solve(problem)
