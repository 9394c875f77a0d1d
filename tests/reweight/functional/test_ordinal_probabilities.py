"""Class probabilities of cumulative logits."""

import numpy as np
from keras import ops

import keras_reweight as kr


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


def reference(cumulative_logits, floor=1e-8):
    below = sigmoid(cumulative_logits)
    edge = np.ones_like(below[..., :1])
    raw = np.diff(np.concatenate([0 * edge, below, edge], axis=-1), axis=-1)
    raw = np.maximum(raw, floor)
    return raw / raw.sum(axis=-1, keepdims=True)


def probabilities(logits, **arguments):
    return ops.convert_to_numpy(kr.functional.ordinal_probabilities(logits, **arguments))


def test_two_samples_by_hand():
    # Intercepts 1 and 2, differences psi = [[.5], [-.25]], x = 2 and x = -4.
    logits = np.array([[1 + 2 * 0.5, 2 + 2 * 0.25], [1 - 4 * 0.5, 2 - 4 * 0.25]], "float32")
    expected = [
        [0.8807971, 0.9241418 - 0.8807971, 1 - 0.9241418],
        [0.2689414, 0.7310586 - 0.2689414, 1 - 0.7310586],
    ]
    np.testing.assert_allclose(probabilities(logits), expected, rtol=2e-6)


def test_crossing_boundaries_get_the_floor():
    found = probabilities(np.array([[2.0, -1.0]], "float32"), floor=0.01)
    raw = np.array([sigmoid(2.0), 0.01, 1 - sigmoid(-1.0)])
    np.testing.assert_allclose(found[0], raw / raw.sum(), rtol=1e-6)


def test_digits_survive_where_all_logits_are_large():
    logits = np.array([[12.0, 12.5, 40.0]], "float32")
    np.testing.assert_allclose(probabilities(logits), reference(logits, 1e-8), rtol=1e-5)
