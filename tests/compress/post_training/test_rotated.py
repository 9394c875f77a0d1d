from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_compress.post_training import (
    AWQ,
    GPTQ,
    LayerProblem,
    Rotated,
    RoundToNearest,
    SparseOutliers,
    hadamard_matrix,
)
from keras_compress.post_training._changed_problem import rotated_problem
from keras_compress.post_training.rotated import random_signs
from tests.compress.post_training.outlier_layers import outlier_problem


def rotation(rows, seed):
    """`diag(signs) H / sqrt(rows)`, in blocks of a power of two."""
    block = rows & -rows
    hadamard = np.kron(np.eye(rows // block), hadamard_matrix(block)) / np.sqrt(block)
    return random_signs(rows, seed)[:, None] * hadamard


@pytest.mark.parametrize("bits", [3, 2])
def test_a_quarter_of_the_error_of_gptq_with_large_inputs(bits):
    problem = outlier_problem(bits, rows=64)
    plain = problem.error(GPTQ().solve(problem).values())
    assert problem.error(Rotated(GPTQ()).solve(problem).values()) <= 0.25 * plain


@pytest.mark.parametrize("rows", [32, 24, 7])
def test_equals_the_solution_of_the_rotated_problem(rows):
    problem = outlier_problem(3, rows=rows)
    turn = rotation(rows, 5)
    np.testing.assert_allclose(turn @ turn.T, np.eye(rows), atol=1e-12)
    turned = LayerProblem.from_inputs(turn.T @ problem.weight, problem.inputs @ turn, bits=3)
    expected = RoundToNearest().solve(turned)
    found = Rotated(RoundToNearest(), seed=5).solve(problem)
    np.testing.assert_array_equal(found.codes, expected.codes)
    np.testing.assert_allclose(found.values(), turn @ expected.values(), atol=1e-6)


def test_every_statistic_is_turned():
    problem = outlier_problem(3)
    problem = LayerProblem.from_inputs(
        problem.weight,
        problem.inputs,
        float_inputs=problem.inputs + 0.1,
        gradient=np.cos(np.arange(problem.weight.size)).reshape(problem.weight.shape),
    )
    turn = rotation(32, 1)
    found = rotated_problem(problem, random_signs(32, 1))
    expected = LayerProblem.from_inputs(
        turn.T @ problem.weight, problem.inputs @ turn, float_inputs=(problem.inputs + 0.1) @ turn
    )
    for name in ("weight", "gram", "cross", "inputs", "targets", "mean_abs"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)
    np.testing.assert_allclose(found.gradient, turn.T @ problem.gradient, atol=1e-12)
    without = rotated_problem(dataclasses.replace(problem, inputs=None), random_signs(32, 1))
    np.testing.assert_allclose(without.mean_abs, expected.mean_abs, rtol=0.3)


def test_fine_grids_give_the_kernel_back():
    problem = outlier_problem(8)
    np.testing.assert_allclose(
        Rotated(RoundToNearest()).solve(problem).values(), problem.weight, atol=0.02
    )


def test_the_seed_changes_the_signs():
    problem = outlier_problem(3)
    first, second = (Rotated(RoundToNearest(), seed=seed).solve(problem) for seed in (0, 1))
    assert not np.array_equal(first.signs, second.signs)
    np.testing.assert_array_equal(first.signs, Rotated(RoundToNearest()).solve(problem).signs)


def test_stored_parts_of_other_solvers_do_not_fit_inside():
    problem = outlier_problem(3)
    split = SparseOutliers(RoundToNearest(), criterion="magnitude")
    for solver, name in ((AWQ(), "input_scale"), (split, "outliers")):
        with pytest.raises(ValueError, match=f"`{name}`"):
            Rotated(solver).solve(problem)
    with pytest.raises(ValueError, match="`signs`"):
        Rotated(Rotated(RoundToNearest())).solve(problem)


def test_outliers_around_the_rotation():
    problem = outlier_problem(2)
    split = SparseOutliers(Rotated(GPTQ()), criterion="magnitude", ratio=0.02).solve(problem)
    assert split.signs is not None and len(split.outliers.positions) == round(0.02 * 32 * 16)
    assert problem.error(split.values()) < problem.error(Rotated(GPTQ()).solve(problem).values())


def test_needs_are_those_of_the_solver():
    assert Rotated(RoundToNearest()).needs == frozenset()
    assert Rotated(AWQ()).needs == {"gram", "mean_abs"}
