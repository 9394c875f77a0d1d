"""cs_qmi against loops over pairs, and the numbers of the official code."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient
from tests.reweight.functional.test_cs_divergence import kernel, official_variables


def reference(x, t, sigma=1.0, normalized=False, sample_weight=None):
    n = len(x)
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, "float64")
    w = w / w.sum()

    def information(first, second):
        k = np.array([[kernel(a, b, sigma) for b in first] for a in first])
        q = np.array([[kernel(a, b, sigma) for b in second] for a in second])
        joint = sum(w[i] * w[j] * k[i, j] * q[i, j] for i in range(n) for j in range(n))
        marginal = (w @ k @ w) * (w @ q @ w)
        cross = sum(w[i] * (k[i] @ w) * (q[i] @ w) for i in range(n))
        return np.log2(joint) + np.log2(marginal) - 2 * np.log2(cross)

    found = information(x, t)
    return found / np.sqrt(information(x, x) * information(t, t)) if normalized else found


def value(*args, **kwargs):
    return ops.convert_to_numpy(kr.functional.cs_qmi(*args, **kwargs))


def test_official_numbers():
    x, t = official_variables()
    np.testing.assert_allclose(value(x, t), 0.4466636, rtol=1e-6)
    np.testing.assert_allclose(value(x, t, normalized=True), 0.9359564, rtol=1e-6)


def test_constant_variables_are_independent_with_a_finite_slope():
    x, _ = official_variables()
    t = np.ones((6, 2), "float32")
    for normalized in (False, True):
        np.testing.assert_allclose(value(x, t, normalized=normalized), 0.0, atol=1e-5)
        found = gradient(
            lambda t, n=normalized: kr.functional.cs_qmi(x, t, normalized=n, sigma="median"), t
        )
        assert np.isfinite(found).all()


@pytest.mark.parametrize("normalized", [False, True])
def test_weights_are_inside_the_means(normalized):
    x, t = official_variables()
    weight = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], "float32")
    found = value(x, t, normalized=normalized, sample_weight=weight)
    expected = reference(x, t, normalized=normalized, sample_weight=weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_median_width_is_the_median_distance_of_pairs():
    x, t = official_variables()
    distances = [np.linalg.norm(x[i] - x[j]) for i in range(6) for j in range(i)]
    width = float(np.sort(distances)[len(distances) // 2])
    expected = value(x, x, sigma=width)
    np.testing.assert_allclose(value(x, x, sigma="median"), expected, rtol=1e-5)


def test_more_axes_are_flattened_and_a_batch_of_one_is_finite():
    x, t = official_variables()
    np.testing.assert_allclose(value(x[:, None, :], t), value(x, t), rtol=1e-6)
    np.testing.assert_allclose(value(x[:1], t[:1], sigma="median"), 0.0, atol=1e-6)
