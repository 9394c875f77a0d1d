from __future__ import annotations

import numpy as np
import pytest

from keras_compress.post_training import (
    CoordinateDescent,
    LayerProblem,
    LearnedPower,
    PowerSearch,
)
from keras_compress.post_training.learned_power import Powers
from tests.compress.post_training.outlier_layers import correlated_problem
from tests.compress.post_training.test_power_search import reference_power


def reference_level(code, largest, highest, exponent):
    return np.sign(code) * largest * (abs(code) / highest) ** (1.0 / exponent)


def reference_values(position, largest, highest, exponent):
    """Weight by weight: the line between the levels of the two codes next to a position."""
    found = np.empty_like(position)
    for index in np.ndindex(*position.shape):
        below = min(max(int(np.floor(position[index])), -highest), highest - 1)
        a = exponent[index[1]]
        lower, upper = (
            reference_level(code, largest[index[1]], highest, a) for code in (below, below + 1)
        )
        found[index] = lower + (position[index] - below) * (upper - lower)
    return found


def reference_start(weight, largest, highest, exponent):
    """By bisection: the position whose value is the weight."""
    low, high = np.full(weight.shape, -float(highest)), np.full(weight.shape, float(highest))
    for _ in range(60):
        middle = (low + high) / 2.0
        above = reference_values(middle, largest, highest, exponent) > weight
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return (low + high) / 2.0


def reference_learned(weight, gram, bits, exponent, steps, rates, regularization, shared=True):
    """Codes and exponents after Adam; slopes in exponents from differences of values."""
    highest, largest = 2 ** (bits - 1) - 1, np.abs(weight).max(axis=0)
    nearest = reference_power(weight, bits, exponent[0])
    away = nearest - weight
    gram = gram / (0.5 * np.sum(away * (gram @ away)))
    position = reference_start(weight, largest, highest, exponent)
    state = [[np.zeros_like(a), np.zeros_like(a)] for a in (position, exponent)]
    for step in range(steps):
        below = np.clip(np.floor(position), -highest, highest - 1)
        # Linear between two codes: the difference of both ends is the slope.
        ends = [reference_values(below + i, largest, highest, exponent) for i in (0, 1)]
        values = reference_values(position, largest, highest, exponent)
        slope = (gram @ (values - weight)) * (ends[1] - ends[0])
        beta = 11.0 + 9.0 * np.cos(np.pi * step / steps)
        share = 2.0 * (position - below) - 1.0
        size = regularization / weight.size
        slope -= size * 2.0 * beta * np.sign(share) * np.abs(share) ** (beta - 1.0)
        moved = [
            reference_values(position, largest, highest, exponent + step_size)
            for step_size in (1e-6, -1e-6)
        ]
        bend = np.sum((gram @ (values - weight)) * (moved[0] - moved[1]) / 2e-6, axis=0)
        if shared:
            bend[:] = bend.sum()
        updated = []
        for array, gradient, rate, memory in zip(
            (position, exponent), (slope, bend), rates, state, strict=True
        ):
            memory[0] = 0.9 * memory[0] + 0.1 * gradient
            memory[1] = 0.999 * memory[1] + 0.001 * gradient**2
            first, second = (
                memory[0] / (1 - 0.9 ** (step + 1)),
                memory[1] / (1 - 0.999 ** (step + 1)),
            )
            updated.append(array - rate * first / (np.sqrt(second) + 1e-8))
        position = np.clip(updated[0], -highest, highest)
        exponent = np.clip(updated[1], 0.1, 2.0)
    return np.rint(position), exponent


def decoded(codes, weight, bits, exponent):
    highest = 2 ** (bits - 1) - 1
    return reference_level(codes, np.abs(weight).max(axis=0), highest, exponent)


def test_values_and_their_slopes():
    generator = np.random.default_rng(0)
    weight = generator.laplace(size=(7, 3))
    powers, exponent = Powers.of(weight, 4), np.array([[0.5, 0.8, 1.3]])
    position = generator.uniform(-7.0, 7.0, (7, 3))
    position[0] = [-7.0, 0.5, 7.0]
    value, slope, bend, _ = powers.soft(position, exponent)
    largest = np.abs(weight).max(axis=0)
    np.testing.assert_allclose(value, reference_values(position, largest, 7, exponent[0]))
    step = 1e-6
    inside = position[1:]
    for found, parts in (
        (slope[1:], [(inside + sign * step, exponent) for sign in (1.0, -1.0)]),
        (bend[1:], [(inside, exponent + sign * step) for sign in (1.0, -1.0)]),
    ):
        ends = [powers.soft(*part)[0] for part in parts]
        np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        powers.soft(powers.position(weight, exponent), exponent)[0], weight, atol=1e-12
    )


@pytest.mark.parametrize("shared", [True, False])
def test_equals_reference(shared):
    problem = correlated_problem(3, rows=8)
    weight, start = problem.weight[:, :5], np.full(5, 0.8)
    away = reference_power(weight, 3, 0.8) - weight
    gram = problem.gram / (0.5 * np.sum(away * (problem.gram @ away)))
    codes, exponent = reference_learned(
        weight, problem.gram, 3, start, 40, (0.02, 0.01), 50.0, shared
    )
    solver = LearnedPower(
        40, learning_rate=0.02, exponent_rate=0.01, regularization=50.0, shared=shared
    )
    found = solver._learned(weight, gram, start[None], 3)
    np.testing.assert_allclose(found[1][0], exponent, rtol=1e-4)
    assert (np.abs(exponent - 0.8) > 0.01).all()
    assert (len(np.unique(exponent.round(6))) == 1) == shared
    np.testing.assert_array_equal(found[0] - 4.0, codes)
    begin = reference_start(weight, np.abs(weight).max(axis=0), 3, start)
    assert not np.array_equal(codes, np.rint(begin))


def test_the_solution_is_on_the_grid_of_its_exponents():
    problem = correlated_problem(3, rows=12)
    solver = LearnedPower(steps=200, shared=False)
    found = solver.solve(problem)
    exponent = found.grid.exponent[0].astype("float64")
    assert len(np.unique(exponent)) > 8
    codes = found.codes - 4.0
    np.testing.assert_allclose(
        found.values(), decoded(codes, problem.weight, 3, exponent), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("bits", [3, 4])
def test_much_better_than_the_search_with_another_exponent(bits):
    problem = correlated_problem(bits)
    search = PowerSearch(objective="outputs").solve(problem)
    learned = LearnedPower().solve(problem)
    assert problem.error(learned.values()) < 0.6 * problem.error(search.values())
    assert abs(learned.grid.exponent - search.grid.exponent) > 0.005


def test_codes_may_go_farther_than_up_or_down():
    problem = correlated_problem(4)
    exponent = np.full((1, 16), 0.8)
    solver = LearnedPower(steps=60, learning_rate=0.3, exponent_rate=0.0)
    codes, _ = solver._learned(problem.weight, problem.gram, exponent, 4)
    position = Powers.of(problem.weight, 4).position(problem.weight, exponent)
    assert np.abs(codes - 8.0 - position).max() > 1.0
    assert np.abs(codes - 8.0).max() <= 7.0


def test_after_it_codes_can_be_changed_one_by_one():
    problem = correlated_problem(3)
    learned = LearnedPower(steps=200)
    errors = [
        problem.error(s.solve(problem).values()) for s in (learned, CoordinateDescent(learned))
    ]
    assert errors[1] < errors[0]


def test_never_worse_than_the_search():
    problem = correlated_problem(3)
    search = PowerSearch(objective="outputs").solve(problem)
    found = LearnedPower(steps=1, learning_rate=2.0).solve(problem)
    np.testing.assert_array_equal(found.values(), search.values())


def test_outputs_and_inputs_of_zeros():
    problem = correlated_problem(3, rows=12)
    weight, inputs = problem.weight.copy(), problem.inputs.copy()
    weight[:, 2] = 0.0
    inputs[:, 5] = 0.0
    found = LearnedPower(steps=50).solve(LayerProblem.from_inputs(weight, inputs, 3))
    np.testing.assert_array_equal(found.values()[:, 2], np.zeros(12))
    assert np.isfinite(found.values()).all()


def test_an_exact_kernel_stays():
    weight = np.array([[-1.0, 0.5], [0.0, 0.0], [1.0, -0.5]])
    problem = LayerProblem.from_inputs(weight, np.eye(3), 2)
    np.testing.assert_array_equal(LearnedPower().solve(problem).values(), weight)


def test_results_depend_on_the_data():
    problem = correlated_problem(3)
    other = LayerProblem.from_inputs(problem.weight, problem.inputs[:, ::-1], 3)
    solver = LearnedPower(steps=100)
    assert not np.array_equal(solver.solve(problem).codes, solver.solve(other).codes)


def test_what_powers_do_not_have():
    with pytest.raises(ValueError, match="`bits`"):
        LearnedPower().solve(LayerProblem.from_inputs(np.ones((4, 2)), np.eye(4), 1))
    with pytest.raises(ValueError, match="`group_size`=2"):
        LearnedPower().solve(LayerProblem.from_inputs(np.ones((4, 2)), np.eye(4), 3, group_size=2))
    with pytest.raises(ValueError, match="no `gram`"):
        LearnedPower().solve(LayerProblem(np.ones((4, 2)), 3))
