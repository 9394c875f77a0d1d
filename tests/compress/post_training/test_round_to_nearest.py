import numpy as np
import pytest

from keras_compress.post_training import LayerProblem, RoundToNearest
from tests.compress.post_training.common import (
    reference_range,
    reference_rounded,
    second_formula_data,
)

NEAREST = [
    [0.74756, -0.68228, -0.67684],
    [0.74756, -1.36456, 1.35368],
    [-1.49511, 0.0, 2.03052],
    [-1.49511, 2.72911, -0.67684],
    [1.49511, 1.36456, -2.70736],
    [3.73778, -2.04683, -1.35368],
]


def reference(weight, bits):
    """Every weight by itself."""
    columns = [reference_range(column, bits) for column in weight.T]
    return np.array(
        [
            [reference_rounded(v, *found, bits) for v, found in zip(row, columns, strict=True)]
            for row in weight
        ]
    )


def outlier_problem():
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(200, 16))
    inputs[:, :4] *= 20.0
    return LayerProblem.from_inputs(generator.normal(size=(16, 12)), inputs, 3)


def test_gives_the_reference_values():
    inputs, weight = second_formula_data()
    found = RoundToNearest().solve(LayerProblem.from_inputs(weight, inputs, 3)).values()
    assert np.allclose(found, NEAREST, atol=5.1e-6, rtol=0)
    assert np.allclose(found, reference(weight, 3), rtol=1e-6)


def test_the_axis_with_the_smaller_error_of_the_outputs_is_taken():
    inputs, weight = second_formula_data()
    problem = LayerProblem.from_inputs(weight, inputs, 3)
    errors = {}
    for axis in ("output", "input", "auto"):
        found = RoundToNearest(axis=axis).solve(problem).values()
        errors[axis] = np.mean((inputs @ (weight - found)) ** 2)
    assert errors["output"] == pytest.approx(0.190748, abs=5e-7)
    assert errors["input"] == pytest.approx(0.086107, abs=5e-7)
    assert errors["auto"] == errors["input"]


def test_scales_of_inputs_isolate_large_inputs():
    problem = outlier_problem()
    errors = {
        axis: problem.error(RoundToNearest(axis=axis).solve(problem).values())
        for axis in ("output", "auto")
    }
    assert errors["auto"] <= 0.7 * errors["output"]


def test_needs_data_for_the_choice_of_the_axis_only():
    assert RoundToNearest().needs == frozenset()
    assert RoundToNearest(axis="auto").needs == {"gram"}
    with pytest.raises(ValueError, match="gram"):
        RoundToNearest(axis="auto").solve(LayerProblem(np.ones((2, 2)), 4))


def test_a_narrower_range_has_the_smaller_error_of_the_weights():
    weight = np.random.default_rng(0).normal(size=(64, 3)) ** 3
    problem = LayerProblem(weight, 3)
    errors = [
        problem.error(RoundToNearest(clip).solve(problem).values()) for clip in ("min_max", "mse")
    ]
    assert errors[1] < 0.9 * errors[0]


def test_eight_bits_are_exact_to_half_a_step():
    problem = LayerProblem(np.random.default_rng(0).normal(size=(20, 5)), 8)
    found = RoundToNearest().solve(problem)
    away = np.abs(found.values() - problem.weight)
    assert (away <= 0.5001 * found.grid.scale).all()
