"""The bisection, its objectives, and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

import keras_compress as kc
from keras_compress.structured._width_objective import WidthObjective
from keras_compress.structured.adaptive_width import smallest_width
from keras_reweight.core.testing.compare import identical, snapshot
from tests.compress.structured.networks import dense
from tests.compress.structured.test_compensation import X, outputs_of


def reference_entropy(logits):
    """Mean entropy of class probabilities."""
    logits = np.asarray(logits, "float64")
    p = np.exp(logits - logits.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return float(-(p * np.log(p)).sum(axis=-1).mean())


def reference_divergence(old, new):
    """Mean KL divergence of the class probabilities of logits."""
    logs = [np.asarray(z, "float64") for z in (old, new)]
    logs = [z - np.log(np.exp(z).sum(axis=-1, keepdims=True)) for z in logs]
    return float((np.exp(logs[0]) * (logs[0] - logs[1])).sum(axis=-1).mean())


def search(size, acceptable, iterations=6):
    tried = []

    def loss_at(width):
        tried.append(width)
        return 0.0 if width >= acceptable else 1.0

    return smallest_width(size, loss_at, 0.0, 0.01, iterations)[0], tried


def test_path_of_the_search():
    assert search(64, 20) == (20, [32, 16, 24, 20, 18, 19])
    assert search(64, 65) == (64, [32, 48, 56, 60, 62, 63])
    assert search(64, 1, iterations=3) == (8, [32, 16, 8])
    assert search(1, 1) == (1, [])
    assert search(3, 1) == (1, [1])


def redundant():
    """Eight units in the first layer, of which three do something."""
    model = dense((8, 6))
    kernel, bias = model.layers[1].get_weights()
    kernel[[0, 2, 4, 6, 7]] = 0.0
    model.layers[1].set_weights([kernel, bias])
    return model


def test_finds_the_width_that_is_needed_and_restores_the_model():
    model = redundant()
    before = snapshot({"model": model})
    small = kc.structured.adaptive_width(model, X, threshold=1e-5, layers="hidden0")
    assert identical(before, snapshot({"model": model}))
    assert [layer.units for layer in small.layers] == [3, 6, 3]
    np.testing.assert_allclose(outputs_of(small), outputs_of(model), rtol=1e-4, atol=1e-4)


def test_objectives():
    model = redundant()
    logits = outputs_of(model)
    measures = {
        name: WidthObjective(model, X, name)
        for name in ("kl", "entropy", lambda outputs: ops.mean(ops.square(outputs)))
    }
    kl, entropy, power = measures.values()
    assert abs(kl()) < 1e-6
    model.layers[2].set_weights([0.5 * value for value in model.layers[2].get_weights()])
    np.testing.assert_allclose(kl(), reference_divergence(logits, 0.5 * logits), rtol=1e-4)
    np.testing.assert_allclose(entropy(), reference_entropy(0.5 * logits), rtol=1e-4)
    np.testing.assert_allclose(power(), np.mean(np.square(0.5 * logits)), rtol=1e-4)


def test_an_error_in_between_leaves_the_weights_alone():
    model = redundant()
    before = snapshot({"model": model})
    mean = float(outputs_of(model).mean())

    def finite_for_the_whole_model(outputs):
        close = ops.abs(ops.mean(outputs) - mean) < 1e-4
        return ops.where(close, 0.0, np.nan)

    with pytest.raises(ValueError, match="objective"):
        kc.structured.adaptive_width(
            model,
            X,
            objective=finite_for_the_whole_model,
            importance=kc.structured.RandomImportance(),
        )
    assert identical(before, snapshot({"model": model}))


def test_arguments():
    model = redundant()
    for changes, error, name in (
        ({"objective": "mse"}, ValueError, "objective"),
        ({"threshold": -1.0}, ValueError, "threshold"),
        ({"iterations": 0}, ValueError, "iterations"),
        ({"importance": "magnitude"}, TypeError, "importance"),
        ({"layers": "head"}, ValueError, "head"),
    ):
        with pytest.raises(error, match=name):
            kc.structured.adaptive_width(model, X, **changes)
