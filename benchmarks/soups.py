"""Memory of making a greedy soup of many files, in weight sets, by way of reading them.

`python -m benchmarks.soups DIRECTORY` takes a model of about 25 million weights and the files of
ten others (written there if they are missing), and prints one line of JSON: how many sets of
weights are in memory at most, the model itself included, while the soup is made from the files, and
from ten snapshots that are read before. Each way needs a process of its own: memory once taken is
rarely given back.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from benchmarks.step_time import ROOT

MODELS, WIDTH, DEPTH = 10, 1770, 8
FILES, SNAPSHOTS = "files", "snapshots"
#: The C library keeps freed blocks of some megabytes for later, unless it is told from where on to
#: ask the system for each. What is kept, not what is held, was half of the memory on JAX.
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "262144"}


def measure_in_process(backend: str, directory: str | os.PathLike, way: str) -> dict:
    """What a fresh process finds."""
    command = [sys.executable, "-m", "benchmarks.soups", str(directory), "--way", way]
    environment = {**os.environ, **GIVE_BACK, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def build():
    """Layers of equal size."""
    import keras

    layers = [keras.layers.Dense(WIDTH, "relu", kernel_initializer="zeros") for _ in range(DEPTH)]
    model = keras.Sequential([keras.Input((WIDTH,)), *layers])
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(0.03 * rng.standard_normal(variable.shape, dtype="float32"))
    model.compile(loss="mse")
    return model


def write_files(directory: str | os.PathLike) -> list[str]:
    """The weights of ten models that came from the one of `build`; those that are there stay."""
    paths = [pathlib.Path(directory) / f"{place}.weights.h5" for place in range(MODELS)]
    if not all(path.is_file() for path in paths):
        rng = np.random.default_rng(1)
        for path in paths:
            model = build()
            for variable in model.weights:
                step = rng.standard_normal(variable.shape, dtype="float32")
                variable.assign_add(0.003 * step)
            model.save_weights(path)
    return [str(path) for path in paths]


def measure(paths: list[str], way: str) -> dict:
    """Sets of weights in memory at most, and how many models the soup took in."""
    from keras_reweight import WeightSnapshot, weight_digest
    from keras_reweight.merging import greedy_soup

    model = build()
    rng = np.random.default_rng(2)
    x = rng.standard_normal((64, WIDTH), dtype="float32")
    y = np.zeros((64, WIDTH), "float32")
    scored = []

    def score(model):
        # Every soup is better than the last: all models are taken in, which is the longest way.
        scored.append(model.evaluate(x, y, batch_size=64, verbose=0))
        return len(scored)

    score(model)
    before = weight_digest(model)
    start = forget_peak()
    ingredients = list(paths)
    if way == SNAPSHOTS:
        other = build()
        ingredients = []
        for path in paths:
            other.load_weights(path)
            ingredients.append(WeightSnapshot(other))
        del other
    soup = greedy_soup(model, ingredients, score=score)
    one = 4e-6 * model.count_params()
    return {
        "way": way,
        "sets": 1.0 + (peak() - start) / one,
        "models": len(soup.ingredients),
        "model_mb": one,
        "restored": weight_digest(model) == before,
    }


def forget_peak() -> float:
    """Let the peak begin anew; megabytes that this process has in memory now."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak()


def peak() -> float:
    """Megabytes that this process has had in memory at its largest (Linux)."""
    # Not `getrusage`: what it says begins with the size of the process that started this one.
    for line in pathlib.Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return float(line.split()[1]) / 1e3
    raise OSError("the system does not tell the peak of the memory of a process")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--way", choices=(FILES, SNAPSHOTS), default=FILES)
    arguments = parser.parse_args()
    paths = [arguments.directory / f"{place}.weights.h5" for place in range(MODELS)]
    if not all(path.is_file() for path in paths):
        arguments.directory.mkdir(parents=True, exist_ok=True)
        write_files(arguments.directory)
    print(json.dumps(measure([str(path) for path in paths], arguments.way)))


if __name__ == "__main__":
    main()
