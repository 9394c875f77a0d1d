"""ProbabilityMargin: official vector, label forms and normalization."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr

LOGITS = np.array([[3, 1, 0, 0], [1, 3, 0, 0], [0, 2, 1.5, -1], [1, 1, 1, 1]], "float32")
LABELS = np.array([0, 0, 3, 2])
LOSSES = np.ones(4, "float32")
# Made by running the official code on LOGITS and LABELS.
MARGINS = [-0.7001848, 0.7001848, 0.5303555, 0.0]
OFFICIAL = {
    (-1.5, 1.0): [0.2992017, 0.9301951, 0.8248541, 0.5472766],
    (-0.05, 10.0): [0.0016553, 2.9955049, 2.9755986, 1.132622],
}


def margins(y_true, y_pred, from_logits=True):
    found = []
    for label, row in zip(np.asarray(y_true).astype(int), np.asarray(y_pred), strict=True):
        p = np.exp(row) / np.exp(row).sum() if from_logits else row
        found.append(max(np.delete(p, label)) - p[label])
    return np.array(found)


def reference(
    y_true, y_pred, bias=-1.5, slope=1.0, scale=3.0, from_logits=True, normalization=None
):
    margin = margins(y_true, y_pred, from_logits)
    weights = scale / (1 + np.exp(-slope * (margin + bias)))
    return (
        weights / {None: 1.0, "mean_one": weights.mean(), "sum_one": weights.sum()}[normalization]
    )


@pytest.mark.parametrize(("bias", "slope"), OFFICIAL)
def test_official_vector(bias, slope):
    np.testing.assert_allclose(margins(LABELS, LOGITS), MARGINS, atol=1e-7)
    weighting = kr.weightings.ProbabilityMargin(bias, slope=slope)
    found = ops.convert_to_numpy(weighting(LOSSES, LABELS, LOGITS))
    np.testing.assert_allclose(found, OFFICIAL[bias, slope], rtol=2e-6, atol=1e-7)


def test_one_hot_labels_and_probabilities():
    expected = reference(LABELS, LOGITS, normalization="mean_one")
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    one_hot = np.eye(4, dtype="float32")[LABELS]
    for from_logits, scores in ((True, LOGITS), (False, probabilities)):
        weighting = kr.weightings.ProbabilityMargin(
            from_logits=from_logits, normalization="mean_one"
        )
        for labels in (LABELS, LABELS[:, None], LABELS.astype("float32"), one_hot):
            found = ops.convert_to_numpy(weighting(LOSSES, labels, scores))
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_tokens_where_samples_are_weighted():
    weighting = kr.weightings.ProbabilityMargin(normalization="mean_one")
    tokens = LOGITS.reshape(2, 2, 4)
    found = weighting(LOSSES.reshape(2, 2), LABELS.reshape(2, 2), tokens)
    expected = reference(LABELS, LOGITS, normalization="mean_one").reshape(2, 2)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)
    with pytest.raises(ValueError, match="granularity"):
        weighting(LOSSES[:2], LABELS.reshape(2, 2), tokens)
