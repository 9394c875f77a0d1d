"""EL2N: official vector, brute force, label forms."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

LOGITS = np.array([[2, 0, -1], [0, 0, 0], [-1, 3, 0]], "float32")
LABELS = np.array([0, 1, 2])


def reference(y_true, y_pred, from_logits=False):
    """|| p - onehot(y) || sample by sample in float64."""
    scores = []
    for label, row in zip(np.asarray(y_true), np.asarray(y_pred, "float64"), strict=True):
        p = np.exp(row) / np.exp(row).sum() if from_logits else row
        target = np.eye(len(row))[int(label)]
        scores.append(np.sqrt(((p - target) ** 2).sum()))
    return np.array(scores)


def test_official_vector():
    scores = ops.convert_to_numpy(kr.scores.el2n(LABELS, LOGITS, from_logits=True))
    np.testing.assert_allclose(scores, [0.198004, 0.816497, 1.336333], atol=2e-6)
    np.testing.assert_allclose(scores, reference(LABELS, LOGITS, True), rtol=1e-5)


def test_label_forms_agree():
    expected = ops.convert_to_numpy(kr.scores.el2n(LABELS, LOGITS, from_logits=True))
    for labels in (LABELS[:, None], np.eye(3)[LABELS]):
        got = ops.convert_to_numpy(kr.scores.el2n(labels, LOGITS, from_logits=True))
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_sigmoid_head_shares_the_scale_of_softmax():
    p = np.array([[0.1], [0.8]], "float32")
    sigmoid = ops.convert_to_numpy(kr.scores.el2n(np.array([0, 0]), p))
    softmax = ops.convert_to_numpy(kr.scores.el2n(np.array([0, 0]), np.hstack([1 - p, p])))
    np.testing.assert_allclose(sigmoid, softmax, rtol=1e-6)


def test_bad_shapes():
    with pytest.raises(ValueError, match="`y_pred`.*\\(3,\\)"):
        kr.scores.el2n(LABELS, LOGITS[0])
    with pytest.raises(ValueError, match="`y_true`.*\\(3, 2\\)"):
        kr.scores.el2n(np.ones((3, 2)), LOGITS)
