"""FeatureSeparationLoss against its formula, pair by pair."""

import numpy as np
import pytest
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

FEATURES = np.random.default_rng(3).normal(size=(6, 4)).astype("float32")
LABELS = np.array([0, 1, 0, 2, 1, 0])


def reference(y_true, y_pred, temperature=0.1, sample_weight=None):
    """Mean over the anchors with a positive of the mean over their positives."""
    labels, z = np.asarray(y_true).astype(int), np.asarray(y_pred, "float64")
    w = np.ones(len(z)) if sample_weight is None else np.asarray(sample_weight, "float64")
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    losses, weights = [], []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i and w[a] > 0]
        positives = [p for p in others if labels[p] == labels[i]]
        if w[i] == 0 or not positives:
            continue
        total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        losses.append(
            -np.mean([np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positives])
        )
        weights.append(w[i])
    return np.average(losses, weights=weights) if losses else 0.0


def value(labels, features, weight=None, **options):
    found = kr.losses.FeatureSeparationLoss(**options)(labels, features, weight)
    return float(ops.convert_to_numpy(found))


def test_it_is_the_mean_over_the_anchors_with_a_positive():
    found = value(LABELS, FEATURES)
    assert found == pytest.approx(reference(LABELS, FEATURES), rel=1e-5)
    every = kr.losses.NPairLoss(contrast="all", reduction="sum")
    # The only sample of its class is no anchor.
    np.testing.assert_allclose(found, ops.convert_to_numpy(every(LABELS, FEATURES)) / 5, rtol=1e-5)
    assert value(np.eye(3)[LABELS], FEATURES) == pytest.approx(found, rel=1e-6)
    weight = np.array([1.0, 0.0, 2.0, 1.0, 3.0, 0.5], "float32")
    found = value(LABELS, FEATURES, weight, temperature=0.4)
    assert found == pytest.approx(reference(LABELS, FEATURES, 0.4, weight), rel=1e-5)


def test_equal_features_are_told_apart_no_better_than_by_chance():
    assert value(LABELS, np.ones((6, 4), "float32")) == pytest.approx(np.log(5.0), rel=1e-5)


def test_without_a_positive_there_is_no_loss_and_no_slope():
    loss = kr.losses.FeatureSeparationLoss()
    assert value(np.arange(6), FEATURES) == 0.0
    slope = gradient(lambda features: loss(np.arange(6), features), FEATURES)
    np.testing.assert_array_equal(slope, np.zeros_like(FEATURES))
