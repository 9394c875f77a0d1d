import numpy as np
import pytest

from keras_reweight.core.linear_cka import linear_cka

RNG = np.random.default_rng(0)
X, Y = RNG.normal(1.0, 1.0, (30, 4)), RNG.normal(size=(30, 6))


def reference(x, y):
    """The formula of kernels: centered Gram matrices of samples, compared as vectors."""
    center = np.eye(len(x)) - 1.0 / len(x)
    x, y = (center @ np.asarray(value, "float64") for value in (x, y))
    return np.sum((x @ x.T) * (y @ y.T)) / np.linalg.norm(x @ x.T) / np.linalg.norm(y @ y.T)


@pytest.mark.parametrize("rows", [30, 5])
def test_formula_with_more_samples_or_more_features(rows):
    x, y = X[:rows], Y[:rows] + X[:rows, :1]
    assert abs(linear_cka(x, y) - reference(x, y)) < 1e-12
    assert abs(linear_cka(y, x) - linear_cka(x, y)) < 1e-12


def test_invariant_to_rotation_scale_and_shift():
    rotation = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    for other in (X, X @ rotation, 1e-8 * X, 1e8 * X + 3.0):
        assert abs(linear_cka(X, other) - 1.0) < 1e-9
    assert linear_cka(X, Y) < 0.5


def test_axes_after_the_first_are_features():
    assert linear_cka(X.reshape(30, 2, 2), Y) == linear_cka(X, Y)


def test_constant_features_have_nothing_in_common_with_others():
    assert linear_cka(np.ones((30, 2)), X) == 0.0


def test_bad_arrays_are_refused():
    for bad, error, message in (
        (X[:5], ValueError, "as many samples"),
        (np.full((30, 2), np.nan), ValueError, "finite"),
        ("features", TypeError, "array of numbers"),
        (np.ones((1, 2)), ValueError, "at least two samples"),
    ):
        with pytest.raises(error, match=f"(?s)`y`.*{message}"):
            linear_cka(X, bad)
