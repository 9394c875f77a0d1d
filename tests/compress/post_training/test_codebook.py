from __future__ import annotations

import numpy as np
import pytest

from keras_compress.post_training import Codebook, LayerProblem, RoundToNearest
from keras_compress.post_training._k_means import group_columns, k_means, k_means_step
from keras_compress.post_training.codebook import Books, solved_tables
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
    books = Books(problem.weight, np.ones((1, 16)), np.arange(16))
    tables = solved_tables(books, problem.gram, found.codes, found.grid.table.astype("float64"))
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


def reference_weighted_lloyd(values, weights, levels, iterations):
    """Lloyd's iterations with a weight for every number."""
    levels = np.array(levels, "float64")
    for _ in range(iterations):
        nearest = np.argmin(np.abs(values[:, None] - levels), axis=1)
        for k in range(len(levels)):
            mine = nearest == k
            if mine.any():
                levels[k] = np.average(values[mine], weights=weights[mine])
    return levels


def grouped_weight():
    """Groups of four inputs of very different sizes; the last has two."""
    generator = np.random.default_rng(5)
    sizes = np.repeat(np.exp(2.0 * generator.normal(size=(6, 3))), 4, axis=0)[:22]
    return generator.normal(size=(22, 3)) * sizes


def reference_grouped(weight, size, bits, iterations):
    """Every group divided by its largest weight; levels weighted by the squares of these."""
    largest = np.stack([np.abs(weight[i : i + size]).max(axis=0) for i in range(0, 22, size)])
    scale = np.repeat(largest, size, axis=0)[: len(weight)]
    found = np.empty_like(weight)
    for output in range(weight.shape[1]):
        values, factors = weight[:, output] / scale[:, output], scale[:, output]
        start = np.quantile(values, (np.arange(2**bits) + 0.5) / 2**bits)
        levels = reference_weighted_lloyd(values, factors**2, start, iterations)
        nearest = np.argmin(np.abs(values[:, None] - levels), axis=1)
        found[:, output] = levels[nearest] * factors
    return found


def test_groups_of_inputs_have_scales():
    weight = grouped_weight()
    found = Codebook(iterations=3).solve(LayerProblem(weight, bits=2, group_size=4))
    assert found.grid.scale.shape == (6, 3) and found.grid.group_size == 4
    np.testing.assert_allclose(found.values(), reference_grouped(weight, 4, 2, 3), rtol=1e-5)
    plain = Codebook(iterations=3).solve(LayerProblem(weight, bits=2))
    errors = [np.square(one.values() / weight - 1.0).mean() for one in (found, plain)]
    assert errors[0] < 0.5 * errors[1]


def test_learning_with_scales_of_groups():
    problem = correlated_problem(2, group_size=12)
    nearest = Codebook().solve(problem)
    learned = Codebook(mapping="learned", rounds=1).solve(problem)
    assert problem.error(learned.values()) < 0.5 * problem.error(nearest.values())
    np.testing.assert_array_equal(learned.grid.scale, nearest.grid.scale)
    # The levels are those of least error for their codes, whatever else their entries are.
    chosen = np.eye(4)[learned.codes[:, 3]] * np.repeat(learned.grid.scale[:, 3], 12)[:, None]
    factor = np.linalg.cholesky(problem.gram).T
    expected = np.linalg.lstsq(factor @ chosen, factor @ problem.weight[:, 3], rcond=None)[0]
    np.testing.assert_allclose(learned.grid.table[3], expected, rtol=1e-3, atol=1e-4)


def test_groups_of_outputs_may_share_a_codebook_with_factors():
    generator = np.random.default_rng(0)
    narrow = np.arange(10) % 2 == 0
    weight = generator.normal(size=(80, 10)) * np.where(narrow, 0.1, 3.0)
    found = Codebook(2, per_group="scale", iterations=4).solve(LayerProblem(weight, bits=2))
    deviations = [weight[:, narrow].std(), weight[:, ~narrow].std()]
    np.testing.assert_allclose(
        found.grid.table[0] / deviations[0], found.grid.table[1] / deviations[1], rtol=1e-5
    )
    factors = np.where(narrow, *deviations) * np.ones((80, 1))
    values = (weight / factors).ravel()
    start = np.quantile(values, (np.arange(4) + 0.5) / 4)
    levels = reference_weighted_lloyd(values, factors.ravel() ** 2, start, 4)
    expected = levels[np.argmin(np.abs(values[:, None] - levels), axis=1)] * factors.ravel()
    np.testing.assert_allclose(found.values().ravel(), expected, rtol=1e-5)
    one = Codebook(1, iterations=4).solve(LayerProblem(weight, bits=2))
    errors = [np.square(each.values() - weight)[:, narrow].sum() for each in (found, one)]
    assert errors[0] < 0.2 * errors[1]


def test_an_output_of_zeros():
    weight = np.zeros((8, 2))
    weight[:, 0] = np.arange(8)
    for solver in (Codebook(), Codebook(2, per_group="scale")):
        found = solver.solve(LayerProblem(weight, bits=3, group_size=4))
        np.testing.assert_array_equal(found.values()[:, 1], np.zeros(8))
