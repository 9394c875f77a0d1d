"""Models to prune, and the proof that pruning changes what it must and nothing else."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from keras_compress.structured.channel_graph import ChannelGraph
from keras_compress.structured.masked_original import masked_original


@pytest.fixture(autouse=True)
def cheap_initial_values(monkeypatch):
    """Without drawing (on JAX without compiling) for each shape: tests set values of their own.

    For the test files that import it.
    """
    for name in ("GlorotUniform", "Ones", "OrthogonalInitializer", "RandomUniform", "Zeros"):
        value = 1.0 if name == "Ones" else 0.0
        monkeypatch.setattr(
            getattr(keras.initializers, name),
            "__call__",
            lambda self, shape, dtype=None, value=value, **kwargs: np.full(shape, value, dtype),
        )


def randomized(model: keras.Model, seed: int = 0) -> keras.Model:
    """Values for biases and statistics too: zeros and ones would hide mistakes."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" not in weight.path:
            low = 0.5 if weight.name == "moving_variance" else -1.0
            weight.assign(rng.uniform(low, 1.0, weight.shape))
    return model


def keep_half(graph: ChannelGraph, seed: int = 0) -> dict[str, np.ndarray]:
    """Half of every group, at random."""
    rng = np.random.default_rng(seed)
    return {group.name: rng.permutation(group.size) < group.size // 2 for group in graph.groups}


def check_pruning(model: keras.Model, *inputs) -> tuple[ChannelGraph, keras.Model]:
    """Prune half of every group and compare with the original that does not read them."""
    graph = ChannelGraph(randomized(model))
    keep = keep_half(graph)
    assert keep, "nothing to prune"
    small = graph.rebuild(keep)
    x = inputs[0] if len(inputs) == 1 else list(inputs)
    masked = masked_original(model, graph, keep)
    for found, expected, dense in zip(
        *(keras.tree.flatten(run(one, x)) for one in (small, masked, model)), strict=True
    ):
        scale = np.abs(expected).max()
        assert scale > 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * scale)
        assert np.abs(dense - expected).max() > 1e-3 * scale, "the dropped channels do nothing"
    assert small.count_params() < model.count_params()
    assert [layer.name for layer in small.layers] == [layer.name for layer in model.layers]
    return graph, small


def run(model, x):
    # One compilation of the whole instead of one for each operation.
    if keras.backend.backend() == "jax":
        return model.predict_on_batch(x)
    return keras.tree.map_structure(ops.convert_to_numpy, model(x, training=False))


def images(size: int = 6, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(2, size, size, channels)).astype("float32")


def sequences(length: int = 5, features: int = 3) -> np.ndarray:
    return np.random.default_rng(6).normal(size=(2, length, features)).astype("float32")


def vectors(features: int = 5) -> np.ndarray:
    return np.random.default_rng(7).normal(size=(2, features)).astype("float32")


def sizes(graph: ChannelGraph) -> dict[str, int]:
    return {group.name: group.size for group in graph.groups}
