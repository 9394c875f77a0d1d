import numpy as np
import pytest

from keras_compress.post_training import GPTAQ, GPTQ, LayerProblem, ResComp, RoundToNearest
from keras_compress.post_training._inverse_factor import damped_factor
from keras_compress.post_training.gptaq import correction_matrix
from tests.compress.post_training.common import formula_data, random_problem, reference_solution
from tests.compress.post_training.test_gptq import CODES

RESIDUAL = [0, 0.046697, 0.001095, -0.052189, -0.070186, 0.002637, 0.06181, 0.068137]


def test_gives_the_reference_codes_and_corrections():
    inputs, exact, weight = formula_data()
    problem = LayerProblem.from_inputs(weight, inputs, 4, float_inputs=exact)
    assert ResComp().solve(problem).codes.tolist() == CODES
    factor = damped_factor(problem.gram, 0.01)
    found = correction_matrix(problem.cross + problem.gram, factor, 0.25)
    assert np.allclose(found[0], RESIDUAL, atol=5.1e-7, rtol=0)


@pytest.mark.parametrize(
    "options", [{}, {"act_order": True}, {"alpha": 0.0}, {"residual": 1.0, "alpha": 1.0}]
)
def test_equals_the_direct_solution(options):
    problem = random_problem(rows=13, outputs=3, drift=0.3)
    found = ResComp(**options).solve(problem).values()
    wanted = reference_solution(problem, **{"alpha": 0.25, "residual": 0.25, **options})
    assert np.allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(("bits", "keep_weights"), [(3, True), (2, False)])
def test_the_mode_says_what_rows_beyond_a_block_follow(bits, keep_weights):
    problem = random_problem(rows=140, outputs=2, bits=bits, drift=0.3)
    wanted = reference_solution(problem, alpha=0.25, residual=0.25, keep_weights=keep_weights)
    mode = "allw" if keep_weights else "org"
    for solver in (ResComp(), ResComp(mode=mode)):
        assert np.allclose(solver.solve(problem).values(), wanted, atol=1e-6)
    other = ResComp(mode="org" if keep_weights else "allw").solve(problem).values()
    assert not np.allclose(other, wanted)


def test_without_its_own_correction_it_is_gptaq():
    problem = random_problem(drift=0.3)
    found = ResComp(residual=0.0).solve(problem).codes
    assert np.array_equal(found, GPTAQ().solve(problem).codes)


def test_follows_the_float_inputs_and_beats_rounding():
    problem = random_problem(bits=2, drift=0.4)
    assert not np.array_equal(ResComp().solve(problem).codes, GPTQ().solve(problem).codes)
    errors = [
        np.square(problem.targets - problem.inputs @ solver.solve(problem).values()).sum()
        for solver in (ResComp(), RoundToNearest())
    ]
    assert errors[0] < 0.8 * errors[1]
