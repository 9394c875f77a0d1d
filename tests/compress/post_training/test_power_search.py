from __future__ import annotations

import numpy as np
import pytest

from keras_compress.post_training import LayerProblem, PowerSearch
from tests.compress.post_training.outlier_layers import correlated_problem, outlier_problem

EXPONENTS = np.arange(8, 49) * 0.025
WEIGHT = np.random.default_rng(3).laplace(size=(40, 5))


def reference_power(weight, bits, exponent):
    """`sign(q)|q s|**(1/a)` with the largest weight of each column on the last level."""
    power = np.sign(weight) * np.abs(weight) ** exponent
    scale = np.abs(power).max(axis=0) / (2 ** (bits - 1) - 1)
    codes = np.round(power / scale)
    return np.sign(codes) * np.abs(codes * scale) ** (1.0 / exponent)


def squares(array):
    return np.square(array).sum(axis=0)


@pytest.mark.parametrize("bits", [3, 4])
def test_equals_the_best_exponent_of_the_kernel(bits):
    errors = [squares(reference_power(WEIGHT, bits, a) - WEIGHT).sum() for a in EXPONENTS]
    best = EXPONENTS[int(np.argmin(errors))]
    found = PowerSearch().solve(LayerProblem(WEIGHT, bits=bits))
    np.testing.assert_allclose(found.grid.exponent, best, rtol=1e-6)
    np.testing.assert_allclose(
        found.values(), reference_power(WEIGHT, bits, best), rtol=2e-5, atol=1e-6
    )
    assert best < 1.0


def test_equals_the_best_exponent_of_every_output():
    errors = np.stack([squares(reference_power(WEIGHT, 4, a) - WEIGHT) for a in EXPONENTS])
    best = EXPONENTS[np.argmin(errors, axis=0)]
    found = PowerSearch(shared=False).solve(LayerProblem(WEIGHT, bits=4))
    np.testing.assert_allclose(found.grid.exponent, best[None], rtol=1e-6)
    np.testing.assert_allclose(squares(found.values() - WEIGHT), errors.min(axis=0), rtol=1e-4)
    assert len(set(best.tolist())) > 1


def test_outputs_are_looked_at_if_wanted():
    problem = outlier_problem(4)
    errors = []
    for exponent in EXPONENTS:
        away = reference_power(problem.weight, 4, exponent) - problem.weight
        errors.append(np.square(problem.inputs @ away).sum(axis=0))
    best = EXPONENTS[np.argmin(errors, axis=0)]
    found = PowerSearch(shared=False, objective="outputs").solve(problem)
    np.testing.assert_allclose(found.grid.exponent, best[None], rtol=1e-6)
    by_weights = PowerSearch(shared=False).solve(problem)
    assert problem.error(found.values()) < problem.error(by_weights.values())


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("shared", [True, False])
def test_never_worse_than_even_steps(bits, shared):
    for weight in (WEIGHT, np.random.default_rng(1).uniform(-1.0, 1.0, (30, 4))):
        problem = LayerProblem(weight, bits=bits)
        found = PowerSearch(shared).solve(problem).values()
        even = PowerSearch(shared, lowest=1.0, highest=1.0).solve(problem).values()
        np.testing.assert_allclose(even, reference_power(weight, bits, 1.0), rtol=1e-5, atol=1e-6)
        assert np.square(found - weight).sum() <= np.square(even - weight).sum()


def test_two_bits_know_no_exponent():
    found = PowerSearch().solve(LayerProblem(WEIGHT, bits=2))
    assert found.grid.exponent == 1.0


def test_an_output_of_zeros():
    weight = WEIGHT.copy()
    weight[:, 2] = 0.0
    found = PowerSearch(shared=False).solve(LayerProblem(weight, bits=3))
    np.testing.assert_array_equal(found.values()[:, 2], np.zeros(40))


def test_what_powers_do_not_have():
    with pytest.raises(ValueError, match="`bits`"):
        PowerSearch().solve(LayerProblem(WEIGHT, bits=1))
    with pytest.raises(ValueError, match="`group_size`=8"):
        PowerSearch().solve(LayerProblem(WEIGHT, bits=3, group_size=8))
    with pytest.raises(ValueError, match="`highest`"):
        PowerSearch(lowest=1.0, highest=0.5)
    assert PowerSearch().needs == frozenset()
    assert PowerSearch(objective="outputs").needs == {"gram"}


def test_outputs_depend_on_the_data():
    problem = correlated_problem(3)
    other = LayerProblem.from_inputs(problem.weight, problem.inputs[:, ::-1], bits=3)
    solver = PowerSearch(shared=False, objective="outputs")
    first, second = (solver.solve(one).grid.exponent for one in (problem, other))
    assert not np.array_equal(first, second)
