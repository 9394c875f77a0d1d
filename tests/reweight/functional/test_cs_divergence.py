"""cs_divergence against loops over pairs, and the numbers of the official code."""

import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate


def official_variables():
    a = np.array([[np.sin(1.7 * i + 0.9 * j * (i + 1)) for j in range(3)] for i in range(6)])
    rows = [a, a[:, :2]]
    return [(m / np.linalg.norm(m, axis=1, keepdims=True)).astype("float32") for m in rows]


def kernel(a, b, sigma):
    return np.exp(-np.sum((a - b) ** 2) / (2 * sigma**2))


def reference(x, y_true, y_pred, sigma=1.0, denominators="paper", sample_weight=None):
    n = len(x)
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, "float64")

    def similarity(first, second):
        total = 0.0
        for i in range(n):
            near = [w[j] * kernel(x[i], x[j], sigma) for j in range(n)]
            if denominators == "paper":
                divisor = sum(near) ** 2
            else:
                divisor = sum(w[j] * kernel(x[i], x[j], sigma) ** 2 for j in range(n))
            for j in range(n):
                total += w[i] * near[j] * kernel(first[i], second[j], sigma) / divisor
        return np.log2(total)

    own = similarity(y_true, y_true) + similarity(y_pred, y_pred)
    return own - 2 * similarity(y_pred, y_true)


def value(*args, **kwargs):
    return evaluate(lambda *tensors: kr.functional.cs_divergence(*tensors, **kwargs), *args)


def test_official_numbers():
    # Stated in float32, as a difference of logarithms of order one: the sixth decimal is rounding.
    x, y = official_variables()
    for denominators, stated in (("code", 0.0129266), ("paper", 0.0114387)):
        found = value(x, y, y + 0.1, denominators=denominators)
        np.testing.assert_allclose(found, stated, rtol=0, atol=1e-6)
        exact = reference(*(a.astype("float64") for a in (x, y, y + 0.1)), 1.0, denominators)
        np.testing.assert_allclose(found, exact, rtol=2e-5)


def test_equal_targets_have_no_divergence():
    x, y = official_variables()
    np.testing.assert_allclose(value(x, y, y), 0.0, atol=1e-6)


@pytest.mark.parametrize("denominators", ["paper", "code"])
def test_weights_are_inside_the_sums(denominators):
    x, y = official_variables()
    weight = np.array([1.0, 0.0, 2.0, 0.5, 0.0, 1.0], "float32")
    options = {"sigma": 0.6, "denominators": denominators}
    found = value(x, y, -y, sample_weight=weight, **options)
    np.testing.assert_allclose(found, reference(x, y, -y, sample_weight=weight, **options), 1e-5)
    kept = weight > 0
    alone = value(x[kept], y[kept], -y[kept], sample_weight=weight[kept], **options)
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    equal = value(x, y, -y, sample_weight=np.full(6, 3.0, "float32"), **options)
    np.testing.assert_allclose(equal, value(x, y, -y, **options), rtol=1e-5)


def test_a_far_outlier_has_no_pull():
    x, y = official_variables()
    far = y.copy()
    far[0] += 100.0
    near_slope = value(x, y, y + 0.3) - value(x, y, y + 0.29)
    far_slope = value(x, far, y) - value(x, far + 0.01, y)
    assert abs(far_slope) < 0.1 * abs(near_slope)


def test_median_width_ignores_samples_of_weight_zero():
    x, y = official_variables()
    weight = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], "float32")
    far = x.copy()
    far[3] = 1e3
    options = {"sigma": "median", "sample_weight": weight}
    np.testing.assert_allclose(value(far, y, -y, **options), value(x, y, -y, **options), rtol=1e-6)
