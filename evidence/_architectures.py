"""What `structured_architectures` measures on one backend: a JSON object for each name given."""

from __future__ import annotations

import json
import sys
import time

import keras
import numpy as np
from keras import ops

from keras_compress.structured import ChannelGraph, GroupMagnitude
from keras_compress.structured.masked_original import masked_original

SIZES = {"Xception": 96}


def main() -> None:
    # JAX would compile the drawing of every new shape.
    keras.initializers.VarianceScaling.__call__ = _draw
    for name in sys.argv[1:]:
        print(json.dumps({"name": name, **measure(name)}), flush=True)
        keras.backend.clear_session(free_memory=True)


def measure(name: str) -> dict[str, float]:
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    size = SIZES.get(name, 64)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    for weight in model.weights:
        if weight.name == "moving_mean":
            weight.assign(rng.normal(0.0, 0.1, weight.shape))
        elif weight.name == "moving_variance":
            weight.assign(rng.uniform(0.5, 2.0, weight.shape))
    began = time.perf_counter()
    graph = ChannelGraph(model)
    analysis = time.perf_counter() - began
    keep = {}
    for group, score in GroupMagnitude().scores(graph, graph.groups).items():
        keep[group] = np.argsort(np.argsort(score)) >= len(score) // 2
    # Tracing a graph costs TensorFlow more than running it once; JAX compiles each operation alone.
    eager = keras.backend.backend() != "jax"
    began = time.perf_counter()
    small = graph.rebuild(keep)
    rebuild = time.perf_counter() - began
    x = rng.uniform(-1.0, 1.0, (2, size, size, 3)).astype("float32")
    found, expected = (
        ops.convert_to_numpy(one(x, training=False)) if eager else one.predict_on_batch(x)
        for one in (small, masked_original(model, graph, keep))
    )
    before = [ops.convert_to_numpy(value) for value in small.trainable_variables]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    small.compile("sgd", loss, run_eagerly=eager)
    loss = float(small.train_on_batch(x, np.array([1, 7])))
    after = [ops.convert_to_numpy(value) for value in small.trainable_variables]
    return {
        "before": model.count_params(),
        "after": small.count_params(),
        "groups": len(graph.groups),
        "frozen": len(graph.frozen),
        "difference": float(np.abs(found - expected).max() / np.abs(expected).max()),
        "loss": loss,
        "moved": float(np.mean([(a != b).any() for a, b in zip(after, before, strict=True)])),
        "analysis": analysis,
        "rebuild": rebuild,
    }


def _draw(initializer, shape, dtype=None):
    rng = np.random.default_rng(list(shape))
    return rng.normal(0.0, (2.0 / np.prod(shape[:-1])) ** 0.5, shape).astype("float32")


if __name__ == "__main__":
    main()
