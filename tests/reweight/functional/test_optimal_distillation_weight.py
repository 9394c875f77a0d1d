"""The closed form against a grid, and on the toy problem of the authors."""

import numpy as np
import pytest

import keras_reweight as kr

optimal = kr.functional.optimal_distillation_weight


def reference(y_true, label_prediction, teacher_prediction, sample_weight=None, clip=True):
    """The best of a grid, refined twice."""
    weight = np.ones(len(y_true)) if sample_weight is None else sample_weight

    def error(alpha):
        mixed = alpha * label_prediction + (1 - alpha) * teacher_prediction
        return np.sum(weight * ((y_true - mixed).reshape(len(y_true), -1) ** 2).sum(axis=1))

    low, high = (0.0, 1.0) if clip else (-5.0, 5.0)
    for _ in range(12):
        grid = np.linspace(low, high, 201)
        best = grid[np.argmin([error(alpha) for alpha in grid])]
        low, high = max(low, best - (high - low) / 100), min(high, best + (high - low) / 100)
    return best


def test_kernel_ridge_regression_of_the_authors():
    x = np.arange(11) / 10
    y = np.array(
        [0.38476636, 1.23339677, 1.33232242, 0.69201595, -0.29756146, -0.24189292]
        + [-0.79644858, -0.96164802, -0.49672509, -0.34690660, 0.55895127]
    )
    grid = np.arange(101) / 100
    truth = np.sin(2 * np.pi * grid)

    def kernel(a, b):
        return np.exp(-80 * (a[:, None] - b[None, :]) ** 2)

    solve = np.linalg.inv(kernel(x, x) + 0.2 * np.eye(11))

    def fit(targets):
        return kernel(x, x) @ solve @ targets, kernel(grid, x) @ solve @ targets

    train, first = fit(y)
    np.testing.assert_allclose(np.mean((first - truth) ** 2), 0.164773, atol=5e-7)
    without, errors = train, []
    for _ in range(2):
        without, predicted = fit(without)
        errors.append(np.mean((predicted - truth) ** 2))
    np.testing.assert_allclose(errors, [0.15076, 0.14915], atol=5e-6)

    found, errors = [], []
    for _ in range(4):
        _, teacher_only = fit(train)
        found.append(optimal(truth, first, teacher_only, clip=False))
        alpha = optimal(truth, first, teacher_only)
        train, predicted = fit(alpha * y + (1 - alpha) * train)
        errors.append(np.mean((predicted - truth) ** 2))
    np.testing.assert_allclose(found, [-0.6218, 0.1351, 0.3341, 0.3356], atol=5e-5)
    # The first of the stated errors is that of the weight before clipping.
    np.testing.assert_allclose(errors[1:], [0.14876, 0.14916, 0.14937], atol=5e-6)
    train, _ = fit(y)
    _, unclipped = fit(found[0] * y + (1 - found[0]) * train)
    np.testing.assert_allclose(np.mean((unclipped - truth) ** 2), 0.14834, atol=5e-6)


def test_weights_and_equal_predictions():
    y, good, bad = np.array([1.0, 2.0]), np.array([1.0, 0.0]), np.array([0.0, 2.0])
    assert optimal(y, good, bad, sample_weight=[1.0, 0.0]) == 1.0
    assert optimal(y, good, bad, sample_weight=[0.0, 1.0]) == 0.0
    assert optimal(y, good, good, fallback=0.4) == 0.4
    assert optimal(y, good, bad, sample_weight=[0.0, 0.0], fallback=0.4) == 0.4


def test_bad_arrays():
    y = np.ones(3)
    with pytest.raises(ValueError, match="teacher_prediction"):
        optimal(y, y, np.ones(2))
    with pytest.raises(ValueError, match="label_prediction"):
        optimal(y, np.array([1.0, np.nan, 1.0]), y)
    with pytest.raises(ValueError, match="sample_weight"):
        optimal(y, y, y, sample_weight=[1.0, -1.0, 1.0])
