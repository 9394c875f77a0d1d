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
)
from tests.compress.post_training.outlier_layers import formula, outlier_problem


def reference_rounding(weight, bits):
    """Asymmetric grid of each column, zero in its range."""
    low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
    scale = (high - low) / (2**bits - 1)
    zero = np.round(-low / scale)
    return scale * (np.clip(np.round(weight / scale) + zero, 0, 2**bits - 1) - zero)


def reference_awq(weight, inputs, bits, num_ratios=20):
    """Best ratio, its loss, and the loss of every ratio."""
    mean = np.abs(inputs).mean(axis=0)
    losses, values = [], []
    for number in range(num_ratios):
        scale = np.maximum(mean ** (number / num_ratios), 1e-4)
        scale /= np.sqrt(scale.max() * scale.min())
        found = reference_rounding(weight * scale[:, None], bits) / scale[:, None]
        values.append(found)
        losses.append(np.mean((inputs @ (weight - found)) ** 2))
    best = int(np.argmin(losses))
    return best / num_ratios, values[best], losses


def test_numbers_of_the_formula():
    inputs, weight = formula()
    problem = LayerProblem.from_inputs(weight, inputs, bits=3)
    ratio, expected, losses = reference_awq(weight, inputs, 3)
    assert ratio == 0.7
    np.testing.assert_allclose([losses[14], losses[0]], [0.0701754, 0.1907476], rtol=5e-6)
    found = AWQ(clip=False).solve(problem)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-5, atol=1e-6)
    loss = np.mean((inputs @ (weight - found.values())) ** 2)
    np.testing.assert_allclose(loss, 0.0701754, rtol=2e-6)
    mean = np.abs(inputs).mean(axis=0) ** 0.7
    np.testing.assert_allclose(
        found.input_scale, mean / np.sqrt(mean.max() * mean.min()), rtol=1e-6
    )


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_half_the_error_of_rounding_with_large_inputs(bits):
    problem = outlier_problem(bits)
    nearest = problem.error(RoundToNearest().solve(problem).values())
    assert problem.error(AWQ(clip=False).solve(problem).values()) <= 0.5 * nearest
    assert problem.error(AWQ().solve(problem).values()) <= 0.5 * nearest


def test_clip_never_adds_error_and_narrows_ranges():
    problem = outlier_problem(2)
    plain, clipped = AWQ(clip=False).solve(problem), AWQ().solve(problem)
    assert problem.error(clipped.values()) < problem.error(plain.values())
    np.testing.assert_array_equal(clipped.input_scale, plain.input_scale)
    assert (clipped.grid.scale <= plain.grid.scale * 1.0001).all()


def reference_clip(weight, gram, bits):
    """The kernel after the best of ten limits for each column."""
    best, errors = None, np.full(weight.shape[1], np.inf)
    for step in range(10):
        limit = np.abs(weight).max(axis=0) * (1.0 - step / 20)
        clipped = np.clip(weight, -limit, limit)
        low, high = np.minimum(clipped.min(axis=0), 0.0), np.maximum(clipped.max(axis=0), 0.0)
        # Rounded as it is stored: with equal limits on both sides, zero lies between two codes.
        scale = ((high - low) / (2**bits - 1)).astype("float32").astype("float64")
        zero = np.round(-low / scale)
        codes = np.clip(np.round(weight / scale) + zero, 0, 2**bits - 1)
        found = scale * (codes - zero)
        away = found - weight
        error = np.array([column @ gram @ column for column in away.T])
        best = found if best is None else np.where(error < errors, found, best)
        errors = np.minimum(error, errors)
    return best


def test_clip_equals_reference():
    problem = outlier_problem(3)
    found = AWQ(ratio=0.0).solve(problem)
    np.testing.assert_array_equal(found.input_scale, np.ones(32))
    expected = reference_clip(problem.weight, problem.gram, 3)
    np.testing.assert_allclose(found.values(), expected, rtol=1e-5, atol=1e-6)


def test_equal_inputs_are_rounded_as_they_are():
    problem = dataclasses.replace(outlier_problem(3), mean_abs=np.ones(32))
    nearest = RoundToNearest().solve(problem)
    found = AWQ(clip=False).solve(problem)
    np.testing.assert_array_equal(found.codes, nearest.codes)


def test_kernels_of_more_dimensions():
    """The error is that of the variable, whose axes may be in another order."""
    problem = outlier_problem(3)
    flat = AWQ().solve(problem)
    found = AWQ().solve(dataclasses.replace(problem, shape=(4, 32, 4), channel_axes=(0, 2)))
    expected = flat.values().reshape(32, 4, 4).transpose(1, 0, 2)
    np.testing.assert_array_equal(found.values(), expected)


def test_an_input_that_is_always_zero():
    problem = outlier_problem(3)
    inputs = problem.inputs.copy()
    inputs[:, 5] = 0.0
    problem = LayerProblem.from_inputs(problem.weight, inputs, bits=3)
    found = AWQ().solve(problem)
    assert np.isfinite(found.values()).all()
    assert problem.error(found.values()) < problem.error(RoundToNearest().solve(problem).values())


def test_groups_and_symmetric_grids():
    problem = outlier_problem(3, group_size=12, symmetric=True)
    nearest = problem.error(RoundToNearest().solve(problem).values())
    found = AWQ().solve(problem)
    assert found.grid.scale.shape == (3, 16)
    assert problem.error(found.values()) < 0.6 * nearest


def test_a_fixed_ratio_needs_only_the_means():
    problem = outlier_problem(3)
    first = AWQ(ratio=0.5).solve(problem)
    other = dataclasses.replace(problem, weight=problem.weight[::-1].copy())
    np.testing.assert_array_equal(AWQ(ratio=0.5).solve(other).input_scale, first.input_scale)


def test_around_other_solvers():
    problem = outlier_problem(3)
    scale = AWQ(ratio=0.5).solve(problem).input_scale
    scaled = dataclasses.replace(
        problem,
        weight=problem.weight * scale[:, None],
        gram=problem.gram / np.outer(scale, scale),
    )
    found = AWQ(GPTQ(), ratio=0.5).solve(problem)
    np.testing.assert_array_equal(found.codes, GPTQ().solve(scaled).codes)
    np.testing.assert_allclose(
        found.values(), GPTQ().solve(scaled).values() / scale[:, None], rtol=1e-6
    )
    error = problem.error(AWQ(Rotated(GPTQ())).solve(problem).values())
    assert error < problem.error(Rotated(GPTQ()).solve(problem).values())
    assert AWQ(GPTQ(), objective="layer").needs == {"gram", "mean_abs"}


def test_outliers_inside_keep_their_values():
    problem = outlier_problem(2)
    split = SparseOutliers(RoundToNearest(), criterion="magnitude", ratio=0.02)
    found = AWQ(split, ratio=0.5).solve(problem)
    index = found.outliers.positions
    np.testing.assert_allclose(
        found.values().ravel()[index], problem.weight.ravel()[index], rtol=2e-3
    )


def test_results_depend_on_the_data():
    first, second = outlier_problem(3), outlier_problem(3)
    inputs = np.roll(first.inputs, 1, axis=1)
    second = LayerProblem.from_inputs(first.weight, inputs, bits=3)
    assert not np.array_equal(AWQ().solve(first).codes, AWQ().solve(second).codes)


def test_missing_statistics():
    problem = LayerProblem(np.ones((4, 2)), bits=3, path="dense")
    with pytest.raises(ValueError, match="'dense' has no `mean_abs`"):
        AWQ().solve(problem)


def test_config_holds_the_solver():
    solver = AWQ(Rotated(GPTQ(damping=0.02), seed=3), ratio=0.5)
    assert AWQ.from_config(solver.get_config()) == solver
