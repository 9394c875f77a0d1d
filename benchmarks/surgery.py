"""Time and memory of structured pruning, by size of the model.

`python -m benchmarks.surgery WEIGHTS` builds a residual network of dense layers with about so many
weights in this process, follows its channels, takes half of them out, and prints one line of JSON:
channels, seconds of analysis and of rebuilding, and by how many megabytes the memory of the process
has grown at its largest in each, beside the size of the weights of the model. Each size needs a
process of its own, as in `benchmarks.memory`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

import numpy as np

from benchmarks.sample_table import largest_memory
from benchmarks.step_time import ROOT

WEIGHTS = (100_000, 1_000_000, 10_000_000, 100_000_000)
BLOCKS, EXPANSION = 6, 4


def measure_in_process(backend: str, num_weights: int) -> dict[str, float]:
    """What a fresh process finds for one size."""
    command = [sys.executable, "-m", "benchmarks.surgery", str(num_weights)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(num_weights: int) -> dict[str, float]:
    """Analysis and rebuilding of one model, with the memory that each takes."""
    from keras_compress.structured import ChannelGraph

    # The first time that Keras serializes a layer it imports TensorFlow, where that is installed.
    ChannelGraph(build(0)).rebuild({})
    model = build(num_weights)
    rng = np.random.default_rng(0)
    start = largest_memory()
    begin = time.perf_counter()
    graph = ChannelGraph(model)
    analysis = time.perf_counter() - begin
    middle = largest_memory()
    keep = {group.name: rng.permutation(group.size) < group.size // 2 for group in graph.groups}
    begin = time.perf_counter()
    small = graph.rebuild(keep)
    rebuild = time.perf_counter() - begin
    return {
        "weights": model.count_params(),
        "left": small.count_params(),
        "channels": sum(group.size for group in graph.groups),
        "analysis": analysis,
        "rebuild": rebuild,
        "model_mb": 4e-6 * model.count_params(),
        "analysis_mb": middle - start,
        "rebuild_mb": largest_memory() - middle,
    }


def build(num_weights: int):
    """Blocks of two dense layers around a stream, as in a transformer without attention."""
    import keras
    from keras import layers

    width = max(4, round((num_weights / (2 * BLOCKS * EXPANSION)) ** 0.5))
    inputs = keras.Input((16,))
    stream = layers.Dense(width)(inputs)
    for _ in range(BLOCKS):
        hidden = layers.BatchNormalization()(stream)
        hidden = layers.Dense(EXPANSION * width, activation="gelu")(hidden)
        stream = layers.Add()([stream, layers.Dense(width)(hidden)])
    return keras.Model(inputs, layers.Dense(10)(stream))


def report(backend: str) -> list[str]:
    """A table in Markdown: every size, and the growth of time against that of the weights."""
    lines = [
        f"## Structured pruning, {backend}",
        "",
        "Residual networks of dense layers; half of the channels go. Megabytes are those by which "
        "the memory of the process grows at its largest.",
        "",
        "| weights | channels | analysis s | rebuild s | rebuild s per million weights | model MB "
        "| analysis MB | rebuild MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for num_weights in WEIGHTS:
        found = measure_in_process(backend, num_weights)
        lines.append(
            f"| {found['weights']:,} | {found['channels']:,} | {found['analysis']:.3f} "
            f"| {found['rebuild']:.2f} | {1e6 * found['rebuild'] / found['weights']:.3f} "
            f"| {found['model_mb']:.0f} | {found['analysis_mb']:.0f} | {found['rebuild_mb']:.0f} |"
        )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=int)
    print(json.dumps(measure(parser.parse_args().weights)))


if __name__ == "__main__":
    main()
