import numpy as np
import pytest

from keras_compress.post_training import BAQ, GPTQ, LayerProblem, RoundToNearest
from keras_compress.post_training._inverse_factor import damped_factor
from keras_compress.post_training._row_ranges import RangesOfOutputs
from keras_compress.post_training._sweep import sweep
from keras_compress.post_training.baq import _RangesOfLevels
from tests.compress.post_training.common import random_problem, second_formula_data

LOSSES = [0.014612, 0.010298, 0.011208, 0.063621, 0.065393, 0.383226]


def reference_sweep(weight, gram, levels, damping):
    """Values and losses of rounding row by row, each with its number of levels."""
    low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
    damped = gram + damping * np.mean(np.diag(gram)) * np.eye(len(gram))
    now, found, losses = weight.copy(), np.zeros_like(weight), np.zeros(len(weight))
    for row, count in enumerate(levels):
        inverse = np.linalg.inv(damped[row:, row:])
        if count > 1:
            scale = (high - low) / (count - 1)
            zero_point = np.round(-low / scale)
            codes = np.clip(np.round(now[row] / scale) + zero_point, 0, count - 1)
            found[row] = scale * (codes - zero_point)
        error = now[row] - found[row]
        losses[row] = 0.5 * np.square(error).sum() / inverse[0, 0]
        now[row:] -= np.outer(inverse[0] / inverse[0, 0], error)
    return found, losses


def reference(weight, gram, bits, damping=0.01, theta=1.95):
    """Both passes."""
    _, losses = reference_sweep(weight, gram, [2**bits] * len(weight), damping)
    typical = np.prod(losses + 1e-8) ** (1.0 / len(losses))
    levels = np.round(np.maximum(1, (losses / typical) ** (1.0 / theta) * 2**bits)).astype(int)
    return reference_sweep(weight, gram, levels, damping)[0]


def formula_problem():
    inputs, weight = second_formula_data()
    return LayerProblem.from_inputs(weight, inputs, 3)


def losses_of(problem, levels):
    weight = problem.weight
    ranges = _RangesOfLevels(levels, weight.min(axis=0), weight.max(axis=0))
    return sweep(weight, damped_factor(problem.gram, 0.01), ranges).losses


def test_gives_the_reference_losses_and_levels():
    problem = formula_problem()
    ranges = RangesOfOutputs(problem, problem.weight, "min_max")
    losses = sweep(problem.weight, damped_factor(problem.gram, 0.01), ranges).losses
    assert np.allclose(losses, LOSSES, atol=6e-7, rtol=0)
    levels = BAQ().solve(problem).grid.levels
    assert levels.tolist() == [5, 4, 4, 11, 11, 26]
    assert np.mean(np.log2(levels)) == pytest.approx(2.9902, abs=5e-5)


@pytest.mark.parametrize("options", [{}, {"theta": 2.0, "damping": 0.1}])
def test_equals_the_direct_solution(options):
    problem = random_problem(rows=14, outputs=5)
    found = BAQ(**options).solve(problem).values()
    assert np.allclose(found, reference(problem.weight, problem.gram, 3, **options), atol=1e-6)


@pytest.mark.parametrize("bits", [3, 4])
def test_the_mean_rate_is_kept_and_the_loss_falls(bits):
    problem = random_problem(rows=64, outputs=20, bits=bits)
    levels = BAQ().solve(problem).grid.levels
    assert abs(np.mean(np.log2(levels)) - bits) <= 0.05
    before = losses_of(problem, np.full(64, 2**bits))
    assert losses_of(problem, levels).sum() <= before.sum()


def test_equal_losses_give_equal_levels():
    assert BAQ().levels(np.full(5, 0.3), 4).tolist() == [16] * 5
    assert BAQ(theta=2.0).levels(np.array([1.0, 4.0, 16.0]), 3).tolist() == [4, 8, 16]
    assert BAQ().levels(np.array([1e-9, 1e-9, 1e9]), 8).max() == 256
    assert BAQ().levels(np.zeros(3), 3).tolist() == [8, 8, 8]


def test_whole_bits_are_spent_where_the_loss_is_largest():
    solver = BAQ(theta=2.0, integer_bits=True)
    assert solver.levels(np.array([1.0, 4.0, 16.0]), 3).tolist() == [4, 8, 16]
    found = BAQ(integer_bits=True).solve(random_problem(rows=32, outputs=6)).grid
    widths = np.log2(found.levels)
    assert np.array_equal(widths, np.rint(widths)) and widths.mean() == 3.0
    assert found.row_bits(32).mean() == 3.0
    assert BAQ(integer_bits=True).levels(np.ones(4), 8).tolist() == [256] * 4


def test_an_input_with_one_level_is_left_out():
    problem = random_problem(rows=12, outputs=4, bits=2)
    gram = problem.gram.copy()
    gram[3] *= 1e-4
    gram[:, 3] *= 1e-4
    found = BAQ().solve(LayerProblem(problem.weight, 2, gram=gram))
    assert found.grid.levels[3] == 1 and (found.values()[3] == 0.0).all()


def test_follows_the_data_and_beats_rounding():
    problem = random_problem(rows=64, outputs=20)
    error = problem.error(BAQ().solve(problem).values())
    assert error < 0.6 * problem.error(RoundToNearest().solve(problem).values())
    other = LayerProblem(problem.weight, 3, gram=random_problem(rows=64, seed=3).gram)
    assert not np.array_equal(BAQ().solve(other).codes, BAQ().solve(problem).codes)
    assert error < 1.2 * problem.error(GPTQ().solve(problem).values())


@pytest.mark.parametrize("fields", [{"group_size": 4}, {"symmetric": True}])
def test_grids_it_does_not_have_are_refused(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        BAQ().solve(random_problem(**fields))
