"""datamodel_targets against regressions written in the space of the masks."""

import numpy as np
import pytest

from keras_reweight.editing import datamodel_targets

RNG = np.random.default_rng(0)
MASKS = RNG.random((12, 5)) < 0.6
EFFECTS = RNG.normal(size=(5, 4, 3))
OUTPUTS = np.einsum("mi,ipc->mpc", MASKS, EFFECTS) + 0.5 * RNG.normal(size=(12, 4, 3))
CURRENT = EFFECTS.sum(axis=0)


def inputs():
    return {
        "masks": MASKS,
        "outputs": OUTPUTS.astype("float32"),
        "current": CURRENT.astype("float32"),
        "forget": np.array([3, 1]),
    }


def fitted(masks, outputs, ridge):
    """Offset and effects that minimize the squared errors plus `ridge` times squared effects."""
    masks = np.asarray(masks, "float64")
    flat = np.asarray(outputs, "float64").reshape(len(outputs), -1)
    design = np.concatenate([np.ones((len(masks), 1)), masks], axis=1)
    penalty = ridge * np.diag([0.0] + [1.0] * masks.shape[1])
    return np.linalg.solve(design.T @ design + penalty, design.T @ flat)


def reference(masks, outputs, current, forget, ridge):
    effects = fitted(masks, outputs, ridge)[1:]
    return current - effects[forget].sum(axis=0).reshape(current.shape)


def test_effects_of_a_given_ridge():
    given = inputs()
    found = datamodel_targets(**given, ridge=0.7)
    np.testing.assert_allclose(found, reference(**given, ridge=0.7), rtol=1e-5, atol=1e-6)


def test_the_chosen_ridge_has_the_least_error_on_models_left_out():
    given = inputs()
    found = datamodel_targets(**given)
    inside = MASKS - MASKS.mean(axis=0)
    errors = {}
    for ridge in np.logspace(-6, 2, 33) * np.linalg.eigvalsh(inside @ inside.T).max():
        lost = 0.0
        for left in range(len(MASKS)):
            others = np.arange(len(MASKS)) != left
            solution = fitted(MASKS[others], OUTPUTS[others], ridge)
            guess = solution[0] + MASKS[left] @ solution[1:]
            lost += ((OUTPUTS[left].ravel() - guess) ** 2).sum()
        errors[ridge] = lost
    best = min(errors, key=errors.get)
    np.testing.assert_allclose(found, reference(**given, ridge=best), rtol=1e-4, atol=1e-5)


def test_more_columns_than_models():
    rng = np.random.default_rng(1)
    given = {
        "masks": rng.random((6, 20)) < 0.5,
        "outputs": rng.normal(size=(6, 2)),
        "current": np.zeros(2),
        "forget": np.array([0, 7, 19]),
    }
    found = datamodel_targets(**given, ridge=0.1)
    np.testing.assert_allclose(found, reference(**given, ridge=0.1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"masks": MASKS.astype(float) * 2}, "masks"),
        ({"masks": np.ones((12, 5))}, "do not vary in the columns \\[3, 1\\]"),
        ({"outputs": OUTPUTS[:3]}, "12 models"),
        ({"current": CURRENT[:2]}, "current"),
        ({"forget": np.array([5])}, "0 to 4"),
        ({"forget": np.array([1, 1])}, "different columns"),
        ({"outputs": np.full((12, 4, 3), np.inf)}, "finite"),
    ],
)
def test_what_does_not_fit_is_refused(changes, text):
    with pytest.raises(ValueError, match=text):
        datamodel_targets(**{**inputs(), **changes})
