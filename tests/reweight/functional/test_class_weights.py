"""Weights of classes against their formulas."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.long_tail import COUNTS


def reference(class_counts, method="class_balanced", power=1.0, beta=0.9999):
    counts = np.asarray(class_counts, "float64")
    if method == "log_frequency":
        share = counts / counts.sum()
        return 1.0 - np.log(share / share.max())
    if method == "inverse_frequency":
        weights = counts**-power
    else:
        weights = (1.0 - beta) / (1.0 - beta**counts)
    return weights / weights.mean()


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        (0.0, [1.0, 1.0, 1.0]),
        (0.9, [0.8485683, 0.8485909, 1.3028408]),
        (0.99, [0.2301472, 0.363011, 2.4068419]),
        (0.999, [0.0421604, 0.2800001, 2.6778395]),
        (0.9999, [0.0283624, 0.2712551, 2.7003825]),
    ],
)
def test_class_balanced_numbers_of_the_official_code(beta, expected):
    found = kr.functional.class_weights(COUNTS, beta=beta)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_log_frequency_numbers_of_the_official_code():
    found = kr.functional.class_weights(COUNTS, method="log_frequency")
    np.testing.assert_allclose(found, [1.0, 3.302585, 5.605170], rtol=1e-6)


def test_inverse_frequency_gives_every_class_the_same_total():
    found = kr.functional.class_weights(COUNTS, method="inverse_frequency")
    np.testing.assert_allclose(found * COUNTS, (found * COUNTS)[0])
    np.testing.assert_allclose(found.mean(), 1.0)


def test_extreme_arguments_stay_finite():
    steep = kr.functional.class_weights([1e12, 1.0], method="inverse_frequency", power=50.0)
    np.testing.assert_allclose(steep, [0.0, 2.0], atol=1e-12)
    near_one = kr.functional.class_weights(COUNTS, beta=1 - 1e-15)
    inverse = kr.functional.class_weights(COUNTS, method="inverse_frequency")
    np.testing.assert_allclose(near_one, inverse, rtol=1e-6)
