"""EqualizationLoss against its formula."""

import numpy as np

import keras_reweight as kr
from tests.reweight.long_tail import COUNTS, LOGITS, assert_label_forms_agree, values


def reference(y_true, y_pred, class_counts, threshold=1.77e-3):
    share = np.asarray(class_counts, "float64") / np.sum(class_counts)
    losses = []
    for label, z in zip(np.asarray(y_true).astype(int), y_pred, strict=True):
        total = 0.0
        for c, score in enumerate(z):
            foreground = 0 <= label < len(z)
            if foreground and c != label and share[c] < threshold:
                continue
            p = 1.0 / (1.0 + np.exp(-score))
            total -= np.log(p if c == label else 1.0 - p)
        losses.append(total)
    return np.array(losses)


def test_numbers_of_the_official_code():
    found = values(kr.losses.EqualizationLoss(COUNTS, threshold=0.02, reduction=None))
    np.testing.assert_allclose(found, [0.9851247, 1.8283412, 2.8632782, 1.8359261], rtol=1e-6)
    mean = values(kr.losses.EqualizationLoss(COUNTS, threshold=0.02))
    np.testing.assert_allclose(mean, 1.8781676, rtol=1e-6)


def test_background_is_a_negative_for_every_class():
    loss = kr.losses.EqualizationLoss(COUNTS, threshold=1.0, reduction=None)
    labels = np.array([-1, 3, -1, 0])
    found = values(loss, labels=labels)
    np.testing.assert_allclose(found, reference(labels, LOGITS, COUNTS, 1.0), rtol=1e-5)
    zeros = np.concatenate([np.zeros((3, 3)), np.eye(3)[:1]])
    np.testing.assert_allclose(values(loss, labels=zeros), found, rtol=1e-6)


def test_no_rare_class_is_plain_binary_cross_entropy():
    found = values(kr.losses.EqualizationLoss(COUNTS, threshold=0.0, reduction=None))
    sign = 1 - 2 * np.eye(3)[[0, 1, 2, 2]]
    np.testing.assert_allclose(found, np.log1p(np.exp(sign * LOGITS)).sum(-1), rtol=1e-5)


def test_forms_of_labels():
    assert_label_forms_agree(kr.losses.EqualizationLoss(COUNTS, threshold=0.02, reduction=None))
