"""Reference embeddings, and pairs in plain NumPy loops."""

import numpy as np
from keras import ops

import keras_reweight as kr
from keras_reweight.core.testing.backends import gradient

LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 1])


def embeddings(shift=0.0):
    """Eight rows of four, unit length, each nearer to the axis of its class."""
    row, column = np.arange(8)[:, None], np.arange(4)[None, :]
    raw = np.sin(1.7 * row + 0.9 * column * (row + 1)) + shift
    raw[np.arange(8), LABELS] += 1.5
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def second_view():
    return embeddings(0.3 * np.cos(np.arange(32).reshape(8, 4)))


def similarities(y_pred, kind="cosine"):
    y_pred = np.asarray(y_pred, "float64")
    if kind == "cosine":
        y_pred = y_pred / np.maximum(np.linalg.norm(y_pred, axis=1, keepdims=True), 1e-6)
    if kind == "euclidean":
        return -np.linalg.norm(y_pred[:, None] - y_pred[None], axis=-1)
    return y_pred @ y_pred.T


def masks(labels):
    labels = np.asarray(labels).astype(int)
    same = np.array([[a == b for b in labels] for a in labels])
    positives = same.copy()
    np.fill_diagonal(positives, False)
    return positives, ~same


def batch(seed=0, size=10, classes=3):
    """Random cosines and their masks, an anchor without positives among them."""
    labels = np.arange(size) % classes
    labels[-1] = classes
    z = np.random.default_rng(seed).normal(size=(size, 4))
    return {
        "similarity": similarities(z).astype("float32"),
        **dict(zip(("positives", "negatives"), masks(labels), strict=True)),
    }


def numerical_weights(losses, similarity, positives, negatives, step=1e-6):
    """`|dl_i / dS_ij|` by central differences of a loss of anchors."""
    similarity = np.asarray(similarity, "float64")
    found = np.zeros_like(similarity)
    for i, j in np.ndindex(*similarity.shape):
        values = []
        for sign in (1.0, -1.0):
            moved = similarity.copy()
            moved[i, j] += sign * step
            values.append(losses(moved, positives, negatives)[i])
        found[i, j] = abs(values[0] - values[1]) / (2 * step)
    return found


def check_weights_are_the_gradient(weighting, miner=None):
    """The closed form of the weights is the slope of the loss, which pushes negatives apart."""
    given = batch(1)
    similarity = given["similarity"]
    miner = miner or kr.metric_learning.AllPairs()
    positives, negatives = miner(*given.values())

    def total(values):
        return ops.sum(weighting.losses(values, positives, negatives))

    slope = gradient(total, similarity)
    weights = ops.convert_to_numpy(weighting(similarity, positives, negatives))
    np.testing.assert_allclose(weights, np.abs(slope), rtol=1e-5, atol=1e-6)
    assert weights.max() > 0
    assert not weights[~(given["positives"] | given["negatives"])].any()
    assert (slope[given["negatives"]] >= 0).all()
    return slope
