"""LADELoss against its formula."""

import numpy as np
import pytest

import keras_reweight as kr
from tests.reweight.long_tail import COUNTS, LABELS, LOGITS, cross_entropy, values


def reference(
    y_true, y_pred, class_counts, weight=0.1, regularization=0.1, cross_entropy_too=True, **rest
):
    ids = np.asarray(y_true).astype(int)
    num_samples, num_classes = y_pred.shape
    share = np.asarray(class_counts, "float64") / np.sum(class_counts)
    log_share = np.log(share + 1e-9)
    total = 0.0
    for c in range(num_classes):
        ratio = y_pred[:, c] - log_share[c] + np.log(1.0 / num_classes)
        lse = np.log(np.exp(ratio).sum()) - np.log(num_samples)
        own = y_pred[ids == c, c]
        total -= share[c] * (own.sum() / (len(own) + 1e-8) - lse - regularization * lse**2)
    total *= weight
    if rest.get("cross_entropy", cross_entropy_too):
        total += cross_entropy(ids, y_pred + log_share).mean()
    return total


def test_number_of_the_official_code():
    loss = kr.losses.LADELoss(COUNTS, weight=1.0, cross_entropy=False)
    np.testing.assert_allclose(values(loss), -1.469053, rtol=1e-6)


def test_a_class_that_is_absent_from_the_batch():
    labels = np.array([0, 1, 1, 0])
    found = values(kr.losses.LADELoss(COUNTS, weight=2.0), labels=labels)
    np.testing.assert_allclose(found, reference(labels, LOGITS, COUNTS, 2.0), rtol=1e-5)


def test_without_the_regularizer_it_is_balanced_softmax():
    found = values(kr.losses.LADELoss(COUNTS, weight=0.0))
    np.testing.assert_allclose(found, values(kr.losses.BalancedSoftmaxLoss(COUNTS)), rtol=1e-5)


def test_weights_repeat_samples():
    repeated = np.array([0, 0, 1, 2, 3, 3, 3])
    loss = kr.losses.LADELoss(COUNTS)
    found = values(loss, sample_weight=np.array([2.0, 1.0, 1.0, 3.0], "float32"))
    np.testing.assert_allclose(found, values(loss, LOGITS[repeated], LABELS[repeated]), rtol=1e-5)


def test_nothing_in_the_batch_has_no_loss():
    found = values(kr.losses.LADELoss(COUNTS), sample_weight=np.zeros(4, "float32"))
    assert found == 0.0


def test_bad_arguments():
    with pytest.raises(ValueError, match="cross_entropy"):
        kr.losses.LADELoss(COUNTS, weight=0.0, cross_entropy=False)
    with pytest.raises(ValueError, match="y_pred"):
        values(kr.losses.LADELoss(COUNTS), LOGITS.reshape(2, 2, 3), LABELS.reshape(2, 2))


def test_one_hot_labels_are_the_same():
    loss = kr.losses.LADELoss(COUNTS)
    np.testing.assert_allclose(values(loss, labels=np.eye(3)[LABELS]), values(loss), rtol=1e-6)
