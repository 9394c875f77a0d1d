"""BalancedSoftmaxLoss against its formula."""

import keras
import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.long_tail import (
    COUNTS,
    LABELS,
    LOGITS,
    assert_label_forms_agree,
    cross_entropy,
    values,
)


def reference(y_true, y_pred, class_counts):
    return cross_entropy(y_true, y_pred + np.log(np.asarray(class_counts, "float64")))


def test_numbers_of_the_official_code():
    found = values(kr.losses.BalancedSoftmaxLoss(COUNTS, reduction=None))
    np.testing.assert_allclose(found, [0.0018707, 1.9583491, 5.4184985, 1.6814034], rtol=3e-5)
    np.testing.assert_allclose(found, reference(LABELS, LOGITS, COUNTS), rtol=1e-5)


def test_forms_of_labels():
    assert_label_forms_agree(kr.losses.BalancedSoftmaxLoss(COUNTS, reduction=None))


def test_equal_counts_are_plain_cross_entropy():
    plain = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = values(kr.losses.BalancedSoftmaxLoss([7, 7, 7]))
    np.testing.assert_allclose(found, values(plain), rtol=1e-6)


def test_counts_may_be_an_array():
    loss = kr.losses.BalancedSoftmaxLoss(np.array(COUNTS))
    assert loss.get_config()["class_counts"] == COUNTS
    np.testing.assert_array_equal(values(loss), values(kr.losses.BalancedSoftmaxLoss(COUNTS)))


def test_other_classes_than_the_counts():
    with pytest.raises(ValueError, match="class_counts"):
        kr.losses.BalancedSoftmaxLoss([3, 1])(LABELS, LOGITS)
    with pytest.raises(ValueError, match="positive"):
        kr.losses.BalancedSoftmaxLoss([3, 0, 1])
