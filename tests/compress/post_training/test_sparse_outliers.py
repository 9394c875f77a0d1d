from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from keras_compress.post_training import (
    GPTQ,
    LayerProblem,
    RoundToNearest,
    SparseOutliers,
)
from tests.compress.post_training.outlier_layers import correlated_problem, outlier_problem
from tests.compress.post_training.test_awq import reference_rounding

GRADIENT = np.ones((4, 3))
GRADIENT[2, 1] = -10.0
WEIGHT = np.cos(np.arange(12.0)).reshape(4, 3)


def reference_split(weight, scores, bits, ratio):
    """Rounding of all but the weights of the highest scores."""
    count = round(ratio * weight.size)
    chosen = np.zeros(weight.size, bool)
    chosen[np.argsort(-scores.ravel(), kind="stable")[:count]] = True
    chosen = chosen.reshape(weight.shape)
    rest = reference_rounding(np.where(chosen, 0.0, weight), bits)
    return np.where(chosen, weight, rest)


def test_one_large_gradient_keeps_exactly_this_weight():
    problem = LayerProblem(WEIGHT, bits=2, gradient=GRADIENT)
    found = SparseOutliers(RoundToNearest(), ratio=1 / 12).solve(problem)
    assert found.outliers.positions.tolist() == [2 * 3 + 1]
    np.testing.assert_allclose(found.values()[2, 1], WEIGHT[2, 1], rtol=1e-3)
    expected = reference_split(WEIGHT, np.abs(GRADIENT), 2, 1 / 12)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-3, atol=1e-6)
    assert np.count_nonzero(np.isclose(found.values(), WEIGHT, rtol=1e-3)) < 12


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.1, 0.5])
def test_the_number_is_exact_with_ties(ratio):
    problem = LayerProblem(WEIGHT, bits=2, gradient=np.ones_like(WEIGHT))
    found = SparseOutliers(RoundToNearest(), ratio=ratio).solve(problem)
    assert found.outliers.positions.tolist() == list(range(round(12 * ratio)))


def test_criteria_choose_by_their_score():
    gradient = np.sin(np.arange(1.0, 13.0)).reshape(4, 3)
    inputs = np.eye(4) * [1.0, 5.0, 1.0, 1.0]
    problem = LayerProblem.from_inputs(WEIGHT, inputs, bits=2, gradient=gradient)
    gram = 0.5 * inputs.T @ inputs
    damped = gram + 0.01 * np.mean(np.diag(gram)) * np.eye(4)
    rounding = np.square(reference_rounding(WEIGHT, 2) - WEIGHT)
    for criterion, scores in (
        ("gradient", np.abs(gradient)),
        ("gradient_x_weight", np.abs(gradient * WEIGHT)),
        ("magnitude", np.abs(WEIGHT)),
        ("hessian", rounding / np.diag(np.linalg.inv(damped))[:, None]),
    ):
        found = SparseOutliers(RoundToNearest(), criterion=criterion, ratio=0.25).solve(problem)
        expected = np.sort(np.argsort(-scores.ravel(), kind="stable")[:3])
        assert found.outliers.positions.tolist() == expected.tolist(), criterion


def test_random_follows_its_seed():
    problem = outlier_problem(3)
    first, again, other = (
        SparseOutliers(RoundToNearest(), criterion="random", seed=seed).solve(problem)
        for seed in (0, 0, 1)
    )
    assert first.outliers.positions.tolist() == again.outliers.positions.tolist()
    assert first.outliers.positions.tolist() != other.outliers.positions.tolist()


def test_ranges_are_those_of_the_rest():
    weight = np.tile([[0.1], [-0.2], [0.3], [50.0]], (1, 2))
    problem = LayerProblem(weight, bits=3)
    found = SparseOutliers(RoundToNearest(), criterion="magnitude", ratio=0.25).solve(problem)
    np.testing.assert_allclose(found.grid.scale, np.full((1, 2), 0.5 / 7), rtol=1e-6)
    np.testing.assert_array_equal(found.values()[3], [50.0, 50.0])


def test_better_choices_give_less_error():
    problem = correlated_problem(2)

    def error(criterion):
        found = SparseOutliers(GPTQ(), criterion=criterion, ratio=0.05).solve(problem)
        return problem.error(found.values())

    assert error("hessian") < error("random")
    assert error("magnitude") < problem.error(GPTQ().solve(problem).values())


def test_never_worse_than_leaving_outliers_in_place():
    """The shift that GPTQ gives to an outlier counts only where it helps."""
    problem = correlated_problem(2)
    found = SparseOutliers(GPTQ(), criterion="magnitude", ratio=0.05).solve(problem)
    exact = dataclasses.replace(
        found, outliers=(found.outliers.positions, problem.weight.ravel()[found.outliers.positions])
    )
    assert problem.error(found.values()) <= problem.error(exact.values())


def test_kernels_of_more_dimensions():
    """Flat positions are those of the matrix, also where the axes of the kernel are others."""
    weight = outlier_problem(3, rows=6).weight
    problem = LayerProblem(weight, bits=3, shape=(4, 6, 4), channel_axes=(0, 2))
    found = SparseOutliers(RoundToNearest(), criterion="magnitude", ratio=0.1).solve(problem)
    kernel = weight.reshape(6, 4, 4).transpose(1, 0, 2)
    largest = np.argmax(np.abs(kernel))
    np.testing.assert_allclose(found.values().ravel()[largest], kernel.ravel()[largest], rtol=1e-3)


def test_what_is_needed():
    assert SparseOutliers(RoundToNearest()).needs == {"gradient"}
    assert SparseOutliers(GPTQ(), criterion="magnitude").needs == {"gram"}
    assert SparseOutliers(RoundToNearest(), criterion="hessian").needs == {"gram"}
    with pytest.raises(ValueError, match="no `gradient`"):
        SparseOutliers(RoundToNearest()).solve(LayerProblem(WEIGHT, bits=2))


def test_twice_is_refused():
    inner = SparseOutliers(RoundToNearest(), criterion="magnitude")
    with pytest.raises(ValueError, match="`solver`"):
        SparseOutliers(inner, criterion="magnitude").solve(LayerProblem(WEIGHT, bits=2))
