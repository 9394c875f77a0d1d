from __future__ import annotations

import types

import keras
import numpy as np
import pytest

from keras_compress.grids import AffineGrid
from keras_compress.post_training import LayerProblem, LearnedRounding, RoundToNearest
from keras_compress.post_training._affine_neighbors import affine_neighbors, table_neighbors
from keras_compress.post_training._soft_rounding import (
    Annealing,
    beta_at,
    latent_of,
    learn_choices,
    soft_choice,
)
from tests.compress.post_training.outlier_layers import correlated_problem


def reference_choice(latent):
    return np.clip(1.2 / (1.0 + np.exp(-latent)) - 0.1, 0.0, 1.0)


def test_the_start_is_the_weight_itself():
    weight = np.linspace(-1.0, 1.0, 41)[:, None]
    grid = AffineGrid(4, scale=np.array([[0.17]]), zero_point=8)
    found = affine_neighbors(grid, weight)
    position = weight / np.float32(0.17)
    np.testing.assert_allclose(found.share, position - np.floor(position), atol=1e-5)
    start = soft_choice(latent_of(found.share))
    np.testing.assert_allclose(start, found.share, atol=1e-5)
    np.testing.assert_allclose(found.lower + start * found.gap, weight, atol=1e-6)


def test_choice_equals_the_formula():
    latent = np.linspace(-6.0, 6.0, 25)
    np.testing.assert_allclose(soft_choice(latent), reference_choice(latent), rtol=1e-12)
    assert soft_choice(np.array([-10.0, 10.0])).tolist() == [0.0, 1.0]


def test_beta_falls_from_20_to_2_after_a_fifth():
    assert beta_at(19, 100) is None
    assert beta_at(20, 100) == 20.0
    np.testing.assert_allclose(beta_at(60, 100), 11.0)
    assert 2.0 < beta_at(99, 100) < 2.01


def reference_learning(share, slope, factor, steps, rate, regularization):
    """Adam on `h(v)` in float64, gradients from central differences of `h` and the regularizer."""
    latent = -np.log(1.2 / (share + 0.1) - 1.0)
    first, second = np.zeros_like(latent), np.zeros_like(latent)
    eps = 1e-6
    for step in range(steps):
        beta = beta_at(step, steps)

        def penalty(v, beta=beta):
            if beta is None:
                return 0.0
            return (
                regularization
                / share.size
                * (1.0 - np.abs(2.0 * reference_choice(v) - 1.0) ** beta)
            )

        up, down = latent + eps, latent - eps
        gradient = slope(reference_choice(latent)) * factor
        gradient = gradient * (reference_choice(up) - reference_choice(down)) / (2.0 * eps)
        gradient = gradient + (penalty(up) - penalty(down)) / (2.0 * eps)
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        corrected = np.sqrt(second / (1.0 - 0.999 ** (step + 1))) + 1e-8
        latent = latent - rate * first / (1.0 - 0.9 ** (step + 1)) / corrected
    return reference_choice(latent)


def test_steps_equal_the_reference():
    problem = correlated_problem(3, rows=6)
    grid = RoundToNearest().solve(problem).grid
    found = affine_neighbors(grid, problem.weight)

    def slope(choice):
        return problem.gram @ (found.lower + choice * found.gap - problem.weight)

    # The largest weights sit on the last level, where there is no choice.
    free = found.gap > 0.0
    share = np.where(free, found.share, 0.5)
    choices = learn_choices(share, slope, found.gap, Annealing(30, 0.02, 5.0))
    expected = reference_learning(share, slope, found.gap, 30, 0.02, 5.0)
    np.testing.assert_allclose(choices[free], expected[free], atol=2e-3)
    assert np.abs(choices - share)[free].max() > 0.1


def test_choices_end_at_0_or_1():
    problem = correlated_problem(3, symmetric=True)
    grid = RoundToNearest().solve(problem).grid
    found = affine_neighbors(grid, problem.weight)
    nearest = grid.decode(grid.encode(problem.weight)) - problem.weight
    unit = 0.5 * np.vdot(nearest, problem.gram @ nearest)

    def slope(choice):
        return problem.gram @ (found.lower + choice * found.gap - problem.weight) / unit

    choices = learn_choices(found.share, slope, found.gap, Annealing(1000, 0.01, 100.0))
    assert np.minimum(choices, 1.0 - choices).max() <= 0.01


@pytest.mark.parametrize("bits", [4, 3])
def test_half_the_error_of_rounding(bits):
    problem = correlated_problem(bits, rows=96, symmetric=True)
    nearest = RoundToNearest().solve(problem)
    found = LearnedRounding().solve(problem)
    np.testing.assert_array_equal(found.grid.scale, nearest.grid.scale)
    assert problem.error(found.values()) <= 0.5 * problem.error(nearest.values())
    steps = np.abs(found.codes.astype(int) - nearest.codes.astype(int))
    assert steps.max() == 1


def test_never_worse_than_rounding():
    problem = correlated_problem(8)
    nearest = problem.error(RoundToNearest().solve(problem).values())
    found = LearnedRounding(steps=2, learning_rate=1.0).solve(problem)
    assert problem.error(found.values()) <= nearest


def test_results_depend_on_the_data():
    problem = correlated_problem(3)
    other = LayerProblem.from_inputs(problem.weight, problem.inputs[:, ::-1], bits=3)
    solver = LearnedRounding(steps=100)
    assert not np.array_equal(solver.solve(problem).codes, solver.solve(other).codes)


def test_asymmetric_corrects_the_layers_before():
    base = correlated_problem(3)
    problem = LayerProblem.from_inputs(
        base.weight, base.inputs, bits=3, float_inputs=1.2 * base.inputs
    )

    def error(asymmetric):
        values = LearnedRounding(steps=200, asymmetric=asymmetric).solve(problem).values()
        return np.square(problem.targets - problem.inputs @ values).sum()

    assert error(True) < 0.9 * error(False)


def test_activation_is_part_of_the_loss():
    base = correlated_problem(2)
    bias = np.linspace(-3.0, 0.0, 16).astype("float32") * np.abs(base.targets).mean()
    layer = types.SimpleNamespace(activation=keras.activations.relu, bias=bias)
    problem = LayerProblem.from_inputs(base.weight, base.inputs, bits=2, layer=layer)

    def error(activation):
        values = LearnedRounding(steps=300, activation=activation).solve(problem).values()
        pair = [np.maximum(base.inputs @ kernel + bias, 0.0) for kernel in (base.weight, values)]
        return np.square(pair[0] - pair[1]).sum()

    assert error(True) < 0.95 * error(False)
    layer.activation = keras.activations.tanh
    plain = LearnedRounding(steps=50).solve(problem)
    same = LearnedRounding(steps=50, activation=True).solve(problem)
    np.testing.assert_array_equal(plain.codes, same.codes)


def test_neighbors_in_a_table():
    levels = np.array([[-1.0], [0.0], [2.0]])
    found = table_neighbors(levels, np.array([[-2.0], [-1.0], [0.5], [2.0], [3.0]]))
    assert found.lower_codes.ravel().tolist() == [0, 0, 1, 2, 2]
    assert found.upper_codes.ravel().tolist() == [0, 1, 2, 2, 2]
    assert found.gap.ravel().tolist() == [0.0, 1.0, 2.0, 0.0, 0.0]
    assert found.share.ravel().tolist() == [0.0, 0.0, 0.25, 0.0, 0.0]


def test_groups_of_inputs_and_needs():
    problem = correlated_problem(2, group_size=20)
    nearest = problem.error(RoundToNearest().solve(problem).values())
    assert problem.error(LearnedRounding(steps=200).solve(problem).values()) < 0.7 * nearest
    assert LearnedRounding().needs == {"gram"}
    assert LearnedRounding(asymmetric=True).needs == {"gram", "cross"}
    assert LearnedRounding(activation=True).needs == {"gram", "inputs", "outputs"}
