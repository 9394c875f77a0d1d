"""Entropy of similarities against NumPy."""

from __future__ import annotations

import numpy as np
from keras import ops

import keras_compress as kc


def reference_entropy(features, temperature=20.0):
    """One value a sample."""
    features = features.reshape(len(features), -1)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    p = np.exp(temperature * unit @ unit.T)
    p /= p.sum(axis=1, keepdims=True)
    return -(p * np.log(p)).sum(axis=1)


def test_values():
    x = np.random.default_rng(0).normal(size=(6, 2, 3)).astype("float32")
    found = kc.structured.similarity_entropy(x)
    expected = reference_entropy(x.astype("float64"))
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-5)


def test_zero_features_are_finite():
    found = kc.structured.similarity_entropy(np.zeros((6, 2, 3), "float32"))
    np.testing.assert_allclose(ops.convert_to_numpy(found), np.log(6), rtol=1e-5)
