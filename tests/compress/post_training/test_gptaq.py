import numpy as np
import pytest

from keras_compress.post_training import GPTAQ, GPTQ, LayerProblem, RoundToNearest
from keras_compress.post_training._inverse_factor import damped_factor
from keras_compress.post_training.gptaq import correction_matrix
from tests.compress.post_training.common import formula_data, random_problem, reference_solution
from tests.compress.post_training.test_gptq import CODES

DRIFT = [0, -0.000616, -0.019447, 0.007952, -0.003303, -0.014685, -0.004213, 0.003023]


def test_gives_the_reference_codes_and_corrections():
    inputs, exact, weight = formula_data()
    problem = LayerProblem.from_inputs(weight, inputs, 4, float_inputs=exact)
    assert GPTAQ().solve(problem).codes.tolist() == CODES
    found = correction_matrix(problem.cross, damped_factor(problem.gram, 0.01), 0.25)
    assert np.allclose(found[0], DRIFT, atol=5.1e-7, rtol=0)


@pytest.mark.parametrize("options", [{}, {"act_order": True}, {"alpha": 1.0}])
def test_equals_the_direct_solution(options):
    problem = random_problem(rows=13, outputs=3, drift=0.3)
    found = GPTAQ(**options).solve(problem).values()
    assert np.allclose(found, reference_solution(problem, **{"alpha": 0.25, **options}), atol=1e-6)


def test_rows_beyond_a_block_follow_the_rounded_weights():
    problem = random_problem(rows=140, outputs=2, drift=0.3)
    found = GPTAQ().solve(problem).values()
    assert np.allclose(found, reference_solution(problem, alpha=0.25), atol=1e-6)


def test_equal_inputs_leave_gptq():
    problem = random_problem()
    assert np.array_equal(GPTAQ().solve(problem).codes, GPTQ().solve(problem).codes)
    moved = random_problem(drift=0.3)
    assert np.array_equal(GPTAQ(alpha=0.0).solve(moved).codes, GPTQ().solve(moved).codes)


def test_follows_the_float_inputs_and_beats_rounding():
    problem = random_problem(bits=2, drift=0.4)
    found = GPTAQ().solve(problem)
    assert not np.array_equal(found.codes, GPTQ().solve(problem).codes)
    errors = [
        np.square(problem.targets - problem.inputs @ solver.solve(problem).values()).sum()
        for solver in (GPTAQ(), RoundToNearest())
    ]
    assert errors[0] < 0.8 * errors[1]
