"""Pruning with TensorFlow Model Optimization, in the environment where it is installed.

It needs Keras 2, so this module runs in a process of its own, with the Python of an environment
made by `pip install tensorflow-model-optimization tf-keras` (the extra `tfmot`), named
by the environment variable `TFMOT_PYTHON`. Nothing in it imports Keras 3 or this package.

`python -m benchmarks.tfmot_peer train JOB.npz` fine-tunes the weights of a job under
`prune_low_magnitude`, once for each sparsity, and prints for each a line of JSON with the accuracy
and the share of zeros. `python -m benchmarks.tfmot_peer time` prints the milliseconds of a step,
plain and pruned, epoch by epoch, in turns; `--ours` measures `MagnitudePruning` on the TensorFlow
backend instead, in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

VARIABLE = "TFMOT_PYTHON"
ROOT = pathlib.Path(__file__).resolve().parents[1]
BATCH, STEPS_PER_EPOCH, DISCARDED = 128, 64, 2
HIDDEN, INPUTS, CLASSES = (256, 128), 784, 10
SPARSITY, FREQUENCY = 0.9, 100
PLAIN, PRUNED = "plain", "pruned"


def run_process(*arguments: str, ours: bool = False) -> list[dict]:
    """The lines of JSON of this program, run with tfmot or (`ours`) with this package."""
    python = sys.executable if ours else os.environ.get(VARIABLE, "")
    if not pathlib.Path(python).is_file():
        raise RuntimeError(
            f"{VARIABLE}={python!r} names no Python. Make an environment, `pip install "
            "tensorflow-model-optimization tf-keras` in it, and set the variable to "
            "its interpreter."
        )
    command = [python, "-m", "benchmarks.tfmot_peer", *arguments, *(["--ours"] if ours else [])]
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **threads, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def train(path: str) -> None:
    """Every sparsity of a job: the same weights, batches and schedule."""
    import tensorflow_model_optimization as tfmot  # first: it chooses Keras 2
    import tf_keras

    with np.load(path, allow_pickle=False) as file:
        job = dict(file)
    weights = [job[f"weight{index}"] for index in range(int(job["num_weights"]))]
    order = job["order"]
    x, y = job["x"][order], job["y"][order]
    end_step, frequency = int(job["end_step"]), int(job["frequency"])
    for sparsity in job["sparsities"].tolist():
        tf_keras.backend.clear_session()
        model = _classifier(tf_keras, str(job["architecture"]), x.shape[1:])
        model.set_weights(weights)
        schedule = tfmot.sparsity.keras.PolynomialDecay(
            0.0, sparsity, begin_step=0, end_step=end_step, frequency=frequency
        )
        pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
        _compile(tf_keras, pruned)
        pruned.fit(
            x,
            y,
            batch_size=int(job["batch"]),
            shuffle=False,
            verbose=0,
            callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
        )
        stripped = tfmot.sparsity.keras.strip_pruning(pruned)
        logits = stripped.predict(job["x_test"], batch_size=1000, verbose=0)
        kernels = [array for array in stripped.get_weights() if array.ndim >= 2]
        row = {
            "sparsity": sparsity,
            "accuracy": 100.0 * float(np.mean(logits.argmax(axis=-1) == job["y_test"])),
            "zeros": sum(int((k == 0).sum()) for k in kernels) / sum(k.size for k in kernels),
        }
        print(json.dumps(row), flush=True)


def _classifier(keras, architecture, shape):
    """The models of `evidence.training`, in Keras 2."""
    layers = keras.layers
    stack = [layers.InputLayer(input_shape=shape)]
    if architecture == "cnn":
        for filters in (16, 32, 64):
            stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    stack.append(layers.Flatten())
    for _ in range(1 if architecture == "cnn" else 2):
        stack.append(layers.Dense(128, "relu"))
    return keras.Sequential([*stack, layers.Dense(CLASSES)])


def _compile(keras, model):
    model.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )


def measure(rounds: int, ours: bool) -> dict[str, list[float]]:
    """Milliseconds of a step, plain and pruned, an epoch of each in turns."""
    if ours:
        import keras

        from keras_compress.callbacks import MagnitudePruning
        from keras_compress.schedules import PolynomialDecay
    else:
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras
    from benchmarks.interleave import interleave

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * STEPS_PER_EPOCH, INPUTS), dtype="float32")
    y = rng.integers(0, CLASSES, len(x)).astype("int32")
    epochs = rounds + DISCARDED
    end_step = epochs * STEPS_PER_EPOCH

    def training(pruned):
        def fit(timer):
            layers = [keras.layers.Dense(units, "relu") for units in HIDDEN]
            first = keras.Input((INPUTS,)) if ours else keras.layers.InputLayer((INPUTS,))
            model = keras.Sequential([first, *layers, keras.layers.Dense(CLASSES)])
            callbacks = [timer]
            if pruned and ours:
                schedule = PolynomialDecay(0.0, SPARSITY, end_step=end_step)
                callbacks.append(MagnitudePruning(schedule, scope="layer", frequency=FREQUENCY))
            elif pruned:
                schedule = tfmot.sparsity.keras.PolynomialDecay(
                    0.0, SPARSITY, begin_step=0, end_step=end_step, frequency=FREQUENCY
                )
                model = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
                callbacks.append(tfmot.sparsity.keras.UpdatePruningStep())
            _compile(keras, model)
            model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)

        return fit

    times = interleave(
        {PLAIN: training(False), PRUNED: training(True)},
        discard=DISCARDED,
        base=keras.callbacks.Callback,
    )
    return {
        name: [1e3 * seconds / STEPS_PER_EPOCH for seconds in one.wall]
        for name, one in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tfmot_peer", description=__doc__)
    parser.add_argument("what", choices=("train", "time"))
    parser.add_argument("job", nargs="?", help="npz file of the job to train")
    parser.add_argument("--rounds", type=int, default=25, help="timed epochs of each")
    parser.add_argument("--ours", action="store_true", help="this package instead of tfmot")
    arguments = parser.parse_args()
    if arguments.what == "train":
        train(arguments.job)
    else:
        print(json.dumps(measure(arguments.rounds, arguments.ours)))


if __name__ == "__main__":
    main()
