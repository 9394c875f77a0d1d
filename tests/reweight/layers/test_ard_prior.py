"""ARDPrior: the divergence from a prior with its own variances."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.layers.test_gaussian_sampling import reference  # noqa: F401
from tests.reweight.layers.test_kl_regularizer import LOG_VARIANCE, MEAN, divergence


@pytest.mark.parametrize(("prior", "expected"), [([2.0, 0.5], 1.7758726), ([1.0, 1.0], 0.8196411)])
def test_reference_numbers(prior, expected):
    layer = kr.layers.ARDPrior(1.0)
    layer.build((None, 4))
    layer.prior_variance.assign(np.array(prior, "float32"))
    layer([MEAN, LOG_VARIANCE])
    np.testing.assert_allclose(float(layer.losses[0]), expected, atol=1e-6)
    np.testing.assert_allclose(divergence(MEAN, LOG_VARIANCE, np.array(prior)), expected, atol=1e-6)


def test_a_collapsed_axis_stays_finite():
    layer = kr.layers.ARDPrior(1.0)
    layer.build((None, 2))
    layer.prior_variance.assign(np.zeros(1, "float32"))
    layer(np.zeros((2, 2), "float32"))
    assert np.isfinite(float(layer.losses[0]))


def test_observers_see_second_moments_and_leave():
    layer, seen = kr.layers.ARDPrior(), []
    layer.build((None, 4))
    layer.observe(seen.append)
    layer([MEAN, LOG_VARIANCE])
    layer.observe(None)
    layer([MEAN, LOG_VARIANCE])
    assert len(seen) == 1
    np.testing.assert_allclose(seen[0], MEAN**2 + np.exp(LOG_VARIANCE), rtol=1e-6)
