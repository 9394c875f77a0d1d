"""CompSumLoss: known values, the losses it joins, and numbers that would overflow."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient, with_keras_mask

# Losses at p = 0.9, 0.5 and 0.05, derived by hand.
KNOWN = {
    0.0: [0.111111, 1, 19],
    0.5: [0.108185, 0.828427, 6.944272],
    1.0: [0.105361, 0.693147, 2.995732],
    1.5: [0.102633, 0.585786, 1.552786],
    2.0: [0.1, 0.5, 0.95],
    3.0: [0.095, 0.375, 0.49875],
}
PROBABILITIES = np.array([[0.9, 0.06, 0.04], [0.3, 0.5, 0.2], [0.55, 0.4, 0.05]], "float32")
LABELS = np.array([0, 1, 2])


def _probability(y_true, y_pred, from_logits):
    p = np.asarray(y_pred, "float64")
    if from_logits:
        p = np.exp(p - p.max(-1, keepdims=True))
        p = p / p.sum(-1, keepdims=True)
    return np.array([row[label] for row, label in zip(p, np.asarray(y_true, int), strict=True)])


def reference(y_true, y_pred, tau=1.0, from_logits=True):
    p = _probability(y_true, y_pred, from_logits)
    return -np.log(p) if tau == 1 else (1 - p ** (tau - 1)) / (tau - 1)


def values(loss, *arguments, **keywords):
    return ops.convert_to_numpy(loss(*arguments, **keywords))


@pytest.mark.parametrize("tau", KNOWN)
def test_known_values(tau):
    for from_logits, scores in ((True, np.log(PROBABILITIES) + 7), (False, PROBABILITIES)):
        loss = kr.losses.CompSumLoss(tau, from_logits=from_logits, reduction=None)
        np.testing.assert_allclose(values(loss, LABELS, scores), KNOWN[tau], rtol=1e-5)


@pytest.mark.parametrize("q", [0.3, 0.7])
def test_between_one_and_two_it_is_generalized_cross_entropy(q):
    keras_loss = keras.losses.CategoricalGeneralizedCrossEntropy(q=q, reduction=None)
    ours = kr.losses.CompSumLoss(1 + q, from_logits=False, reduction=None)
    expected = values(keras_loss, LABELS, PROBABILITIES)
    np.testing.assert_allclose(values(ours, LABELS, PROBABILITIES), expected, rtol=1e-5)
    one = values(kr.losses.CompSumLoss(1.7, from_logits=False), [0], np.array([[0.7, 0.3]]))
    np.testing.assert_allclose(one, 0.3156344, rtol=1e-6)


def test_cross_entropy_is_approached_smoothly():
    logits = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    labels = np.arange(6) % 4
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    for tau in (1.0, 1.0 + 1e-7, 1.0 - 1e-4, 1.0 + 1e-4):
        loss = kr.losses.CompSumLoss(tau, reduction=None)
        found = values(loss, labels, logits)
        np.testing.assert_allclose(found, values(expected, labels, logits), rtol=5e-4)


def test_integer_and_one_hot_labels_of_sequences_with_a_mask():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 5, 3)).astype("float32")
    labels = rng.integers(0, 3, size=(2, 5))
    loss = kr.losses.CompSumLoss(1.5, reduction=None)
    expected = reference(labels.ravel(), logits.reshape(-1, 3), 1.5).reshape(2, 5)
    for form in (labels, labels[..., None], np.eye(3, dtype="float32")[labels]):
        np.testing.assert_allclose(values(loss, form, logits), expected, rtol=1e-5)
    mask = np.arange(10).reshape(2, 5) % 3 != 0
    mean = values(kr.losses.CompSumLoss(1.5), labels, with_keras_mask(logits, mask))
    np.testing.assert_allclose(mean, expected[mask].mean(), rtol=1e-5)


@pytest.mark.parametrize("tau", [0.0, 0.4, 0.9, 1.0, 1.5, 2.0, 4.0])
def test_gradient_is_that_of_cross_entropy_times_a_power_of_the_probability(tau):
    logits = np.random.default_rng(2).normal(size=(5, 3)).astype("float32")
    labels = np.array([0, 1, 2, 0, 1])
    loss = kr.losses.CompSumLoss(tau, reduction="sum")
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    weight = p[np.arange(5), labels] ** (tau - 1)
    expected = weight[:, None] * (p - np.eye(3)[labels])
    found = gradient(lambda value: loss(labels, value), logits)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_beyond_the_largest_exponent_it_is_finite_and_still_grows():
    logits = np.array([[-30.0, 30.0], [-60.0, 60.0]], "float32")
    loss = kr.losses.CompSumLoss(0.0, reduction=None)
    found = values(loss, [0, 0], logits)
    # The tangent at 50: 1 + (60 - 50) and 1 + (120 - 50) times exp(50).
    np.testing.assert_allclose(found, np.exp(50.0) * np.array([11.0, 71.0]), rtol=1e-4)
    total = kr.losses.CompSumLoss(0.0, reduction="sum")
    slope = gradient(lambda value: total([0, 0], value), logits)
    assert np.isfinite(slope).all() and (slope[:, 0] < 0).all()


def test_ruled_out_classes_and_ignored_labels():
    logits = np.array([[1.0, -1e30, 0.0], [0.5, 0.1, 0.2]], "float32")
    loss = kr.losses.CompSumLoss(1.5, reduction=None)
    found = values(loss, np.array([0, -1]), logits)
    np.testing.assert_allclose(found[0], reference([0], [[1.0, 0.0]], 1.5)[0], rtol=1e-5)
    assert found[1] == 0
