import numpy as np
import pytest

from keras_compress.grids import AffineGrid
from keras_compress.post_training import LayerProblem

GENERATOR = np.random.default_rng(0)
WEIGHT, INPUTS = GENERATOR.normal(size=(5, 3)), GENERATOR.normal(size=(20, 5))
EXACT = INPUTS + 0.1 * GENERATOR.normal(size=(20, 5))


def test_statistics_of_inputs():
    problem = LayerProblem.from_inputs(WEIGHT, INPUTS, 3, float_inputs=EXACT)
    assert np.allclose(problem.gram, 2 * INPUTS.T @ INPUTS / 20)
    assert np.allclose(problem.cross, 2 * (EXACT - INPUTS).T @ INPUTS / 20)
    assert np.allclose(problem.targets, EXACT @ WEIGHT)
    assert np.allclose(problem.mean_abs, np.abs(INPUTS).mean(axis=0))
    assert (problem.rows, problem.outputs) == (5, 3)


def test_the_error_is_that_of_the_outputs_or_else_of_the_weights():
    values = WEIGHT + 0.1
    wanted = np.square(INPUTS @ (values - WEIGHT)).sum() / np.square(INPUTS @ WEIGHT).sum()
    whole = LayerProblem.from_inputs(WEIGHT, INPUTS, 3)
    assert whole.error(values) == pytest.approx(wanted)
    assert LayerProblem(WEIGHT, 3, inputs=INPUTS).error(values) == pytest.approx(wanted)
    wanted = np.square(values - WEIGHT).sum() / np.square(WEIGHT).sum()
    assert LayerProblem(WEIGHT, 3).error(values) == pytest.approx(wanted)
    assert LayerProblem(np.zeros((2, 2)), 3).error(np.ones((2, 2))) == 0.0


def test_solutions_have_the_shape_of_the_variable():
    problem = LayerProblem(WEIGHT, 8, shape=(3, 5), channel_axes=(0,))
    grid = AffineGrid(8, scale=0.05, zero_point=128)
    found = problem.stored(grid.encode(WEIGHT), grid).values()
    assert found.shape == (3, 5) and np.allclose(found.T, WEIGHT, atol=0.026)
    assert problem.error(found) < 1e-3


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"gram": np.eye(4)}, "gram"),
        ({"inputs": np.ones((7, 4))}, "inputs"),
        ({"targets": np.ones(3)}, "targets"),
        ({"gram": np.full((5, 5), np.nan)}, "gram"),
        ({"mean_abs": np.ones((5, 1))}, "mean_abs"),
    ],
)
def test_statistics_that_do_not_fit_are_refused(fields, name):
    with pytest.raises(ValueError, match=name):
        LayerProblem(WEIGHT, 3, **fields)


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"'block/up' has no `cross`"):
        LayerProblem(WEIGHT, 3, path="block/up").required("cross")
