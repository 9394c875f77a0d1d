"""f_divergence_weight: second derivatives of the divergences, and weighted regression."""

import numpy as np
import pytest
from keras import ops

from keras_reweight.functional import f_divergence_weight

RATIO = np.array([0.05, 0.3, 0.9, 1.0, 1.7, 6.0], "float32")
# D_f(p || q) = E_q f(p / q).
DIVERGENCES = {
    "reverse_kl": lambda r: -np.log(r),
    "forward_kl": lambda r: r * np.log(r),
    "jensen_shannon": lambda r: r * np.log(r) - (r + 1) * np.log((r + 1) / 2),
    "softened_reverse_kl": lambda r: (r + 1) * np.log((r + 1) / r),
    "jeffreys": lambda r: (r - 1) * np.log(r),
    "squared_hellinger": lambda r: 1 - np.sqrt(r),
    "pearson": lambda r: (r - 1) ** 2,
}


def reference(ratio, kind, normalization="mean_one", from_logits=False, clip=10.0):
    """`r^2 f''(r)` by differences of second order."""
    r = np.exp(ratio) if from_logits else np.asarray(ratio, "float64")
    r = np.clip(r, np.exp(-clip), np.exp(clip))
    f, step = DIVERGENCES[kind], 1e-3 * r
    points = [f(r + k * step) for k in (-2, -1, 0, 1, 2)]
    second = np.dot([-1, 16, -30, 16, -1], np.stack(points).T.swapaxes(0, 1)) / (12 * step**2)
    weights = r**2 * second
    return weights / weights.mean() if normalization else weights


@pytest.mark.parametrize("kind", DIVERGENCES)
def test_second_derivative_of_the_divergence(kind):
    found = ops.convert_to_numpy(f_divergence_weight(RATIO, kind, normalization=None))
    np.testing.assert_allclose(found, reference(RATIO, kind, None), rtol=1e-5)
    logits = np.log(RATIO)
    found = ops.convert_to_numpy(f_divergence_weight(logits, kind, from_logits=True))
    np.testing.assert_allclose(found, reference(RATIO, kind), rtol=1e-5)


def test_zero_and_infinite_ratios_are_clipped():
    ratio = np.array([0.0, 1.0, np.inf], "float32")
    for kind in DIVERGENCES:
        found = ops.convert_to_numpy(f_divergence_weight(ratio, kind, clip=40.0))
        assert np.isfinite(found).all() and abs(found.mean() - 1) < 1e-5
    found = ops.convert_to_numpy(f_divergence_weight(ratio, "forward_kl", normalization=None))
    np.testing.assert_allclose(found, np.exp([-10.0, 0.0, 10.0]), rtol=1e-5)


def test_weighted_regression_under_covariate_shift():
    rng = np.random.default_rng(0)
    x = rng.normal(0.0, 1.0, size=500)
    wanted = np.linspace(0.5, 2.5, 101)

    def risk(weights):
        """Of a straight line through a parabola, where the wanted inputs are."""
        line = np.polyfit(x, x**2, 1, w=np.sqrt(weights))
        return np.mean((np.polyval(line, wanted) - wanted**2) ** 2)

    log_ratio = ((x - 0.0) ** 2 - (x - 1.5) ** 2 / 0.36) / 2
    logits = log_ratio.astype("float32")
    found = ops.convert_to_numpy(f_divergence_weight(logits, "forward_kl", from_logits=True))
    assert risk(found) < 0.2 * risk(np.ones(500))
