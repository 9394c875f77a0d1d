import numpy as np
import pytest

from keras_compress.post_training import GPTQ, LayerProblem, RoundToNearest
from keras_compress.post_training._inverse_factor import damped_factor, inverse_of_upper
from keras_compress.post_training._row_ranges import RangesOfOutputs
from keras_compress.post_training._sweep import sweep
from tests.compress.post_training.common import (
    formula_data,
    random_problem,
    reference_solution,
    second_formula_data,
)

CODES = [
    [10, 8, 6],
    [9, 5, 9],
    [4, 9, 11],
    [5, 15, 6],
    [11, 13, 0],
    [14, 3, 4],
    [9, 0, 15],
    [0, 11, 15],
]
CODES_IN_ORDER = [
    [10, 8, 6],
    [9, 5, 9],
    [5, 9, 11],
    [5, 15, 6],
    [11, 13, 0],
    [15, 3, 4],
    [9, 0, 15],
    [0, 11, 15],
]
VALUES = [
    [0.74756, -0.68228, -0.67684],
    [0.74756, -1.36456, 1.35368],
    [-1.49511, 0.0, 1.35368],
    [-1.49511, 2.04683, -0.67684],
    [0.74756, 2.04683, -2.70736],
    [3.73778, -2.04683, -1.35368],
]


def formula_problem(bits=4):
    inputs, exact, weight = formula_data()
    return LayerProblem.from_inputs(weight, inputs, bits, float_inputs=exact)


def test_gives_the_codes_of_the_official_code():
    problem = formula_problem()
    found = GPTQ().solve(problem)
    assert found.codes.tolist() == CODES
    assert np.allclose(found.grid.scale, [[0.512187, 0.397146, 0.424966]], atol=5.1e-7, rtol=0)
    assert found.grid.zero_point.tolist() == [[8, 9, 7]]
    assert GPTQ(act_order=True).solve(problem).codes.tolist() == CODES_IN_ORDER


def test_gives_the_values_of_the_second_set():
    inputs, weight = second_formula_data()
    found = GPTQ().solve(LayerProblem.from_inputs(weight, inputs, 3)).values()
    assert np.allclose(found, VALUES, atol=5.1e-6, rtol=0)


def test_the_factor_has_the_stated_diagonal():
    problem = formula_problem()
    diagonal = [1.17056, 1.09652, 1.493466, 1.072037, 1.069083, 1.070027, 1.089481, 1.054053]
    assert np.allclose(np.diag(problem.gram), diagonal, atol=5.1e-7, rtol=0)
    found = np.diag(damped_factor(problem.gram, 0.01))
    wanted = [2.256749, 2.891223, 3.601571, 2.507755, 2.437191, 1.730345, 1.16452, 0.9688]
    assert np.allclose(found, wanted, atol=5.1e-7, rtol=0)


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 150])
def test_factors_and_inverses_of_any_size(size):
    generator = np.random.default_rng(size)
    root = generator.normal(size=(size, size + 3))
    gram = root @ root.T
    factor = damped_factor(gram, 0.05)
    damped = gram + 0.05 * np.mean(np.diag(gram)) * np.eye(size)
    assert np.allclose(factor.T @ factor @ damped, np.eye(size), atol=1e-8)
    assert (np.tril(factor, -1) == 0.0).all()
    assert np.allclose(inverse_of_upper(factor) @ factor, np.eye(size), atol=1e-9)


def test_damping_is_added_until_there_is_a_factor():
    gram = np.array([[1.0, 1.0], [1.0, 1.0]]) + np.diag([0.0, -0.25])
    factor = damped_factor(gram, 0.01)
    total = np.linalg.inv(factor.T @ factor) - gram
    assert total[0, 0] == pytest.approx(total[1, 1]) and total[0, 0] > 0.1
    with pytest.raises(ValueError, match="damping"):
        damped_factor(np.array([[1.0, 9.0], [9.0, 1.0]]), 0.01)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"act_order": True},
        {"group_size": 5},
        {"group_size": 5, "static_groups": True},
        {"group_size": 5, "act_order": True},
        {"symmetric": True},
        {"damping": 0.3},
    ],
)
def test_equals_the_direct_solution(options):
    fields = {name: options[name] for name in ("group_size", "symmetric") if name in options}
    rest = {name: value for name, value in options.items() if name not in fields}
    problem = random_problem(rows=13, outputs=3, **fields)
    found = GPTQ(**rest).solve(problem).values()
    assert np.allclose(found, reference_solution(problem, **rest), atol=1e-6)


@pytest.mark.parametrize("group_size", [None, 3, 7, 30])
def test_the_block_size_does_not_change_the_numbers(group_size):
    problem = random_problem(rows=50, outputs=4, group_size=group_size)
    factor = damped_factor(problem.gram, 0.01)

    def codes(block_size):
        ranges = RangesOfOutputs(problem, problem.weight, "min_max")
        return sweep(problem.weight, factor, ranges, block_size=block_size).codes

    whole = codes(50)
    for block_size in (1, 8, 17) if group_size is None else (8, 17):
        assert np.array_equal(codes(block_size), whole)


def test_the_loss_of_a_row_is_what_its_rounding_adds_to_the_objective():
    problem = random_problem(rows=9, outputs=2)
    factor = damped_factor(problem.gram, 0.01)
    found = sweep(problem.weight, factor, RangesOfOutputs(problem, problem.weight, "min_max"))
    values = GPTQ().solve(problem).values() - problem.weight
    damped = np.linalg.inv(factor.T @ factor)
    assert found.losses.sum() == pytest.approx(0.5 * np.vdot(values, damped @ values), rel=1e-6)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_follows_the_data_and_beats_rounding(bits):
    problem, other = random_problem(bits=bits), random_problem(bits=bits, seed=5)
    found = GPTQ().solve(problem)
    nearest = RoundToNearest().solve(problem)
    assert problem.error(found.values()) < 0.6 * problem.error(nearest.values())
    moved = LayerProblem(problem.weight, bits, gram=other.gram)
    assert not np.array_equal(GPTQ().solve(moved).codes, found.codes)


def test_uncorrelated_inputs_leave_nothing_to_correct():
    problem = LayerProblem(random_problem().weight, 3, gram=np.diag(np.arange(1.0, 25.0)))
    assert np.array_equal(GPTQ().solve(problem).codes, RoundToNearest().solve(problem).codes)


def test_weights_of_inputs_that_are_always_zero_become_zero():
    full = random_problem(rows=6, outputs=3)
    inputs = np.insert(full.inputs, 2, 0.0, axis=1)
    weight = np.insert(full.weight, 2, 7.0, axis=0)
    found = GPTQ(damping=1e-6).solve(LayerProblem.from_inputs(weight, inputs, 3)).values()
    wanted = GPTQ(damping=1e-6).solve(full).values()
    assert (found[2] == 0.0).all() and np.allclose(np.delete(found, 2, axis=0), wanted)
    silent = LayerProblem(full.weight, 3, gram=np.zeros((6, 6)))
    assert (GPTQ().solve(silent).values() == 0.0).all()


def test_scales_of_inputs_come_from_the_corrected_row():
    problem = random_problem(rows=8, outputs=6, group_size=4)
    found = GPTQ(axis="input").solve(problem)
    assert found.grid.scale.shape == (8, 2) and found.grid.group_axis == 1
    weight, factor = problem.weight.copy(), damped_factor(problem.gram, 0.01)
    for row in range(8):
        wanted = []
        for part in (weight[row, :4], weight[row, 4:]):
            low, high = min(part.min(), 0.0), max(part.max(), 0.0)
            scale = (high - low) / 7
            wanted.append(scale * np.clip(np.rint(part / scale), round(low / scale), 1e9))
        rounded = np.concatenate(wanted)
        error = (weight[row] - rounded) / factor[row, row]
        weight[row + 1 :] -= np.outer(factor[row, row + 1 :], error)
        assert np.allclose(found.values()[row], rounded, atol=1e-6)


def test_the_axis_is_that_of_rounding():
    inputs, weight = second_formula_data()
    problem = LayerProblem.from_inputs(weight, inputs, 3)
    assert GPTQ(axis="auto").solve(problem).grid.group_axis == 1
    even = random_problem(rows=24, outputs=24)
    chosen = GPTQ(axis="auto").solve(even).values()
    errors = [
        even.error(RoundToNearest(axis=axis).solve(even).values()) for axis in ("output", "input")
    ]
    axis = "input" if errors[1] < errors[0] else "output"
    assert np.array_equal(chosen, GPTQ(axis=axis).solve(even).values())


def test_hundreds_of_inputs_pass_through_several_blocks():
    problem = random_problem(rows=140, outputs=2, bits=4)
    found = GPTQ().solve(problem).values()
    assert np.allclose(found, reference_solution(problem), atol=1e-6)
