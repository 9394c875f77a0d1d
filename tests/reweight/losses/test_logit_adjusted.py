"""LogitAdjustedLoss against its formula."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.long_tail import (
    COUNTS,
    assert_label_forms_agree,
    cross_entropy,
    values,
)


def reference(y_true, y_pred, class_counts, tau=1.0, epsilon=1e-12):
    prior = np.asarray(class_counts, "float64") / np.sum(class_counts)
    return cross_entropy(y_true, y_pred + np.log(prior**tau + epsilon))


@pytest.mark.parametrize(
    ("tau", "expected"),
    [
        (0.5, [0.0061814, 1.0947978, 3.2669208, 0.5480877]),
        (2.0, [0.0001834, 4.1215591, 9.9664345, 5.7573466]),
    ],
)
def test_numbers_of_the_official_code(tau, expected):
    found = values(kr.losses.LogitAdjustedLoss(COUNTS, tau=tau, reduction=None))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=5e-8)


def test_tau_one_is_balanced_softmax_and_tau_zero_is_cross_entropy():
    balanced = kr.losses.BalancedSoftmaxLoss(COUNTS, reduction=None)
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    for tau, other in ((1.0, balanced), (0.0, plain)):
        found = values(kr.losses.LogitAdjustedLoss(COUNTS, tau=tau, reduction=None))
        np.testing.assert_allclose(found, values(other), rtol=1e-5, atol=1e-7)


def test_a_prior_stands_for_counts():
    prior = np.array(COUNTS) / np.sum(COUNTS)
    found = values(kr.losses.LogitAdjustedLoss(prior.tolist(), tau=0.5))
    np.testing.assert_allclose(found, values(kr.losses.LogitAdjustedLoss(COUNTS, tau=0.5)))


def test_epsilon_bounds_the_adjustment():
    loss = kr.losses.LogitAdjustedLoss([1e6, 1.0, 1.0], tau=8.0, epsilon=1e-9, reduction=None)
    expected = reference([0, 1, 2, 2], 5 * np.zeros((4, 3)), [1e6, 1, 1], 8.0, 1e-9)
    found = values(loss, np.zeros((4, 3)), np.array([0, 1, 2, 2]))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_forms_of_labels():
    assert_label_forms_agree(kr.losses.LogitAdjustedLoss(COUNTS, reduction=None))
