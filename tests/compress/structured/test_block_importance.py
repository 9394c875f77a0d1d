"""Cosines between inputs and outputs of blocks against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

import keras_compress as kc
from tests.compress.calibration.test_collect_input_statistics import through


def reference_importance(before, after):
    """One minus the mean cosine over all positions; that of zeros is zero."""
    before, after = (np.asarray(x, "float64").reshape(-1, np.shape(x)[-1]) for x in (before, after))
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    return 1.0 - np.mean((before * after).sum(axis=1) / np.where(norms > 0, norms, 1.0))


@pytest.fixture(scope="module")
def network():
    entry = keras.Input((3, 4))
    inner = keras.Sequential([keras.Input((3, 4)), layers.Dense(4, name="deep")], name="nested")
    x = layers.Add(name="first_add")([entry, layers.Dense(4, name="first")(entry)])
    return keras.Model(entry, layers.Dense(2, name="head")(inner(x)))


X = np.random.default_rng(0).normal(size=(7, 3, 4)).astype("float32")


def test_layers_nested_models_and_pairs(network):
    blocks = [("first", "first_add"), "nested", "first"]
    found = kc.structured.block_importance(network, X, blocks=blocks, batch_size=3)
    assert list(found) == ["first -> first_add", "nested", "first"]
    dense, nested = network.get_layer("first"), network.get_layer("nested")
    made = through(dense, X)
    after = through(nested, X + made)
    expected = [(X, X + made), (X + made, after), (X, made)]
    for value, (one, two) in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(value, reference_importance(one, two), rtol=1e-4)


def test_masked_tokens_do_not_count_and_zeros_are_finite():
    entry = keras.Input((3, 4))
    outputs = layers.Dense(4, name="dense")(layers.Masking(0.0)(entry))
    model = keras.Model(entry, outputs)
    x = X.copy()
    x[:, 2] = 0.0
    (found,) = kc.structured.block_importance(model, x, blocks=["dense"]).values()
    after = through(model.get_layer("dense"), x[:, :2])
    np.testing.assert_allclose(found, reference_importance(x[:, :2], after), rtol=1e-4)


def test_arguments(network):
    for blocks, error, name in (
        ("nested", TypeError, "blocks"),
        ([], ValueError, "blocks"),
        (["missing"], ValueError, "missing"),
        ([("first", "first_add", "head")], ValueError, "pair"),
        (["head"], ValueError, "one shape"),
    ):
        with pytest.raises(error, match=name):
            kc.structured.block_importance(network, X, blocks=blocks)
