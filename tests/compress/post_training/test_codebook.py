from __future__ import annotations

import numpy as np
import pytest

from keras_compress.post_training import Codebook, LayerProblem, RoundToNearest
from keras_compress.post_training._k_means import group_columns, k_means, k_means_step
from keras_compress.post_training.codebook import solved_tables
from tests.compress.post_training.outlier_layers import correlated_problem


def reference_lloyd(values, levels, iterations):
    """Nearest level for every number, means of these, again and again."""
    levels = np.array(levels, "float64")
    for _ in range(iterations):
        nearest = np.argmin(np.abs(values[:, None] - levels), axis=1)
        levels = np.array(
            [
                values[nearest == k].mean() if (nearest == k).any() else levels[k]
                for k in range(len(levels))
            ]
        )
    return levels


def test_three_clusters_of_five_numbers():
    values = np.array([0.0, 0.1, 0.9, 1.0, 5.0])
    np.testing.assert_allclose(k_means(values, 3, 25), [0.05, 0.95, 5.0])
    np.testing.assert_allclose(k_means(values[::-1], 3, 25), [0.05, 0.95, 5.0])


def test_equals_lloyds_iterations():
    values = np.random.default_rng(0).normal(size=200)
    start = np.quantile(values, (np.arange(8) + 0.5) / 8)
    np.testing.assert_allclose(k_means(values, 8, 6), reference_lloyd(values, start, 6))


def test_the_error_never_rises():
    values = np.sort(np.random.default_rng(1).standard_t(2, size=300))
    levels = np.linspace(-90.0, 90.0, 16)
    errors = []
    for _ in range(30):
        levels = k_means_step(values, levels)
        errors.append(np.square(np.abs(values[:, None] - levels).min(axis=1)).sum())
    assert (np.diff(errors) <= 1e-9).all()
    assert errors[-1] < 0.3 * errors[0]


def test_fewer_numbers_than_levels():
    problem = LayerProblem(np.array([[1.0], [-2.0], [1.0]]), bits=3)
    np.testing.assert_array_equal(Codebook().solve(problem).values(), problem.weight)


@pytest.mark.parametrize("bits", [1, 2, 3])
def test_less_error_of_the_weights_than_even_levels(bits):
    weight = np.random.default_rng(2).normal(size=(64, 12))
    problem = LayerProblem(weight, bits=bits)
    found = Codebook().solve(problem)
    assert found.grid.table.shape == (12, 2**bits)
    nearest = RoundToNearest(clip="mse").solve(problem)
    assert problem.error(found.values()) < problem.error(nearest.values())
    columns = [found.values()[:, 4], weight[:, 4]]
    table = np.sort(found.grid.table[4])
    np.testing.assert_allclose(
        columns[0], table[np.argmin(np.abs(columns[1][:, None] - table), axis=1)]
    )


def test_groups_hold_outputs_that_are_alike():
    generator = np.random.default_rng(0)
    narrow = np.arange(10) % 2 == 0
    weight = generator.normal(size=(80, 10)) * np.where(narrow, 0.1, 3.0)
    members = group_columns(weight, 2)
    assert members.tolist() == np.where(narrow, 0, 1).tolist()
    problem = LayerProblem(weight, bits=2)
    two, one, each = (Codebook(groups).solve(problem) for groups in (2, 1, None))
    assert two.grid.assignment.tolist() == members.tolist()
    errors = [np.square(found.values() - weight)[:, narrow].sum() for found in (each, two, one)]
    assert errors[0] < errors[1] < 0.2 * errors[2]
    assert one.num_bytes < two.num_bytes < each.num_bytes
    assert group_columns(weight, 99).tolist() == list(range(10))


def reference_levels(weight, gram, codes, levels):
    """Least squares for the levels of one output, column of indicators by column."""
    factor = np.linalg.cholesky(gram).T
    chosen = np.eye(levels)[codes]
    return np.linalg.lstsq(factor @ chosen, factor @ weight, rcond=None)[0]


def test_levels_are_the_least_squares_solution():
    problem = correlated_problem(2, rows=12)
    found = Codebook().solve(problem)
    tables = solved_tables(
        problem.weight, problem.gram, found.codes, found.grid.table.astype("float64"), np.arange(16)
    )
    for output in (0, 7):
        expected = reference_levels(
            problem.weight[:, output], problem.gram, found.codes[:, output], 4
        )
        np.testing.assert_allclose(tables[output], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("groups", [None, 3])
def test_learning_lowers_the_error_of_the_outputs(groups):
    problem = correlated_problem(2)
    nearest = Codebook(groups).solve(problem)
    learned = Codebook(groups, mapping="learned").solve(problem)
    assert problem.error(learned.values()) < 0.5 * problem.error(nearest.values())
    assert Codebook(mapping="learned").needs == {"gram"}
    assert Codebook().needs == frozenset()


def test_learning_depends_on_the_data():
    problem = correlated_problem(2)
    other = LayerProblem.from_inputs(problem.weight, problem.inputs[:, ::-1], bits=2)
    solver = Codebook(mapping="learned", rounds=1)
    assert not np.array_equal(solver.solve(problem).codes, solver.solve(other).codes)


def test_groups_of_inputs_are_refused():
    with pytest.raises(ValueError, match="`group_size`=4"):
        Codebook().solve(LayerProblem(np.ones((8, 2)), bits=2, group_size=4))
