"""ICNNLoss against a loop over sorted neighbors."""

import numpy as np
import pytest

import keras_reweight as kr
from keras_reweight.core.testing.backends import evaluate
from tests.reweight.metric_learning.pairs import LABELS, embeddings


def reference(y_true, y_pred, num_neighbors=4):
    y_true, y_pred = np.asarray(y_true).astype(int), np.asarray(y_pred, "float64")
    size = len(y_true)
    few = num_neighbors + 2 >= size
    k = size - 2 if few else num_neighbors
    near, far, purity = [], [], []
    for i in range(size):
        distance = np.sqrt(np.sum((y_pred - y_pred[i]) ** 2, axis=1) + 1e-6)
        order = sorted((j for j in range(size) if j != i), key=lambda j: distance[j])
        same = y_true[order] == y_true[i]
        distance = distance[order]
        around = distance[: k + 1][~same[: k + 1]]
        relative = distance[:k] / (around.min() + 1e-7) if len(around) else np.zeros(max(k, 0))
        relative = relative / max(1.0, *relative) if k > 0 else relative
        same, distance = same[:k], distance[:k]
        if same.any():
            near.append(relative[same].mean())
        far.append(distance[~same])
        purity.append(same.sum() / num_neighbors)
    others = np.concatenate(far)
    compact = 1.0 - np.mean(near) if near else 1.0
    apart = 1.0
    if len(others):
        apart = np.mean([row.mean() / (others.max() + 1e-7) for row in far if len(row)])
    score = 0.5 * (0.5 * (compact + apart) + (1.0 if few else np.mean(purity)))
    return np.array(-np.log(score))


def loss(labels, z, num_neighbors=4, **arguments):
    made = kr.losses.ICNNLoss(num_neighbors)
    return evaluate(lambda z: made(labels, z, **arguments), z.astype("float32"))


@pytest.mark.parametrize("num_neighbors", [1, 2, 4, 5, 6, 20])
def test_any_number_of_neighbors(num_neighbors):
    found = loss(LABELS, embeddings(), num_neighbors)
    np.testing.assert_allclose(found, reference(LABELS, embeddings(), num_neighbors), rtol=1e-5)


def test_separate_classes_have_less_loss_than_mixed_ones():
    z = np.random.default_rng(0).normal(size=(12, 2)) + 8.0 * np.eye(2)[np.arange(12) % 2]
    separate = loss(np.arange(12) % 2, z)
    mixed = loss(np.arange(12) // 6, z)
    assert separate < 0.5 * mixed


def test_samples_of_weight_zero_are_nobodys_neighbors_in_a_small_batch():
    """Seven of eight samples: then all neighbors count, as in a batch of seven."""
    present = np.arange(8) != 2
    found = loss(LABELS, embeddings(), 5, sample_weight=present.astype("float32"))
    expected = reference(LABELS[present], embeddings()[present], 5)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
