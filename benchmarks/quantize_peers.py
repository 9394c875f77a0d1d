"""Quantization-aware training with tfmot and qkeras-v3, each in its own environment.

tfmot needs Keras 2, and both need packages that have no place here, so this module runs in
processes of its own, with the Python of an environment made by `pip install
tensorflow-model-optimization tf-keras` (the extra `tfmot`), named by the environment variable
`TFMOT_PYTHON`, and of one made by `pip install qkeras-v3`, named by `QKERAS_PYTHON`. There, nothing
in it imports this package.

`python -m benchmarks.quantize_peers train KIND JOB.npz ...` trains the weights of each job
under quantization, once for each of its arms, and prints for each a line of JSON with the accuracy.
`python -m benchmarks.quantize_peers time KIND` prints for each architecture the milliseconds of a
step, plain and with weights and activations at 8 bits, epoch by epoch, in turns (ours with learned
steps and with moving ranges). KIND is `tfmot`,
`qkeras` or (for the time) `ours`, all on TensorFlow with one thread.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

TFMOT, QKERAS, OURS = "tfmot", "qkeras", "ours"
VARIABLES = {TFMOT: "TFMOT_PYTHON", QKERAS: "QKERAS_PYTHON"}
PACKAGES = {TFMOT: "tensorflow-model-optimization tf-keras", QKERAS: "qkeras-v3"}
ROOT = pathlib.Path(__file__).resolve().parents[1]
PLAIN, QUANTIZED = "plain", "quantized"
#: The method of tfmot as `quantize_aware` calls it: weights, activations.
MOVING_RANGES = ("minmax", "moving_average")
SHAPES = {"mlp": (28, 28, 1), "cnn": (32, 32, 3)}
CLASSES, HIDDEN = 10, 128
BATCH, STEPS_PER_EPOCH, DISCARDED = 64, 32, 2


def run_process(kind: str, what: str, *arguments: str) -> list[dict]:
    """The lines of JSON of this program, run with the packages of `kind`."""
    python = sys.executable if kind == OURS else os.environ.get(VARIABLES[kind], "")
    if not pathlib.Path(python).is_file():
        raise RuntimeError(
            f"{VARIABLES[kind]}={python!r} names no Python. Make an environment, `pip install "
            f"{PACKAGES[kind]}` in it, and set the variable to its interpreter."
        )
    command = [python, "-m", "benchmarks.quantize_peers", what, kind, *arguments]
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = {**os.environ, **threads, "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def train(kind: str, path: str) -> None:
    """Every arm of a job: the same weights, batches and learning rate."""
    keras = _keras(kind)
    with np.load(path, allow_pickle=False) as file:
        job = dict(file)
    weights = [job[f"weight{index}"] for index in range(int(job["num_weights"]))]
    architecture = str(job["architecture"])
    order = job["order"]
    x, y = job["x"][order], job["y"][order]
    for arm in job["arms"].tolist():
        keras.backend.clear_session()
        weight_bits, activation_bits = _bits(arm)
        model = _quantized(
            kind, architecture, weight_bits, activation_bits, job["integers"], weights
        )
        _compile(keras, model, float(job["learning_rate"]))
        model.fit(x, y, batch_size=int(job["batch"]), shuffle=False, verbose=0)
        logits = model.predict(job["x_test"], batch_size=1000, verbose=0)
        accuracy = 100.0 * float(np.mean(logits.argmax(axis=-1) == job["y_test"]))
        print(json.dumps({"name": str(job["name"]), "arm": arm, "accuracy": accuracy}), flush=True)


def measure(kind: str, rounds: int) -> None:
    """Milliseconds of a step, plain and quantized, an epoch of each in turns."""
    from benchmarks.interleave import interleave

    keras = _keras(kind)
    rng = np.random.default_rng(0)
    for architecture, shape in SHAPES.items():
        x = rng.random((BATCH * STEPS_PER_EPOCH, *shape), dtype="float32")
        y = rng.integers(0, CLASSES, len(x)).astype("int32")

        def training(quantized, architecture=architecture, x=x, y=y):
            def fit(timer):
                if not quantized:
                    model = keras.Sequential(_layers(kind, keras, architecture))
                elif kind == OURS:
                    model = _ours(keras, architecture, x, quantized)
                else:
                    model = _quantized(kind, architecture, 8, 8, [2] * 8, None)
                _compile(keras, model, 1e-3)
                epochs = rounds + DISCARDED
                model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=[timer], verbose=0)

            return fit

        trainings = {PLAIN: training(None), QUANTIZED: training(("int", "int"))}
        if kind == OURS:
            trainings[f"{QUANTIZED}, moving ranges"] = training(MOVING_RANGES)
        times = interleave(
            trainings,
            discard=DISCARDED,
            base=keras.callbacks.Callback,
        )
        row = {
            name: [1e3 * seconds / STEPS_PER_EPOCH for seconds in one.wall]
            for name, one in times.items()
        }
        print(json.dumps({"architecture": architecture, **row}), flush=True)


def _keras(kind):
    if kind == TFMOT:
        import tensorflow_model_optimization  # noqa: F401  first: it chooses Keras 2
        import tf_keras as keras
    else:
        import keras
    return keras


def _bits(arm):
    """`"w8a8"` as `(8, 8)`, `"w4"` as `(4, None)`."""
    weights, _, activations = arm.removeprefix("w").partition("a")
    return int(weights), int(activations) if activations else None


def _layers(kind, keras, architecture, convolution=None, dense=None, relu=None):
    """The models of `evidence.training`, in the Keras of the peer or with its layers."""
    convolution = convolution or keras.layers.Conv2D
    dense = dense or keras.layers.Dense
    shape = SHAPES[architecture]
    first = keras.layers.InputLayer(shape) if kind == TFMOT else keras.Input(shape)
    stack, between = [first], iter(range(8))
    for filters in (16, 32, 64) if architecture == "cnn" else ():
        options = {} if relu else {"activation": "relu"}
        stack.append(convolution(filters, 3, strides=2, padding="same", **options))
        stack += [relu(next(between))] if relu else []
    stack.append(keras.layers.Flatten())
    for _ in range(1 if architecture == "cnn" else 2):
        stack.append(dense(HIDDEN, **({} if relu else {"activation": "relu"})))
        stack += [relu(next(between))] if relu else []
    return [*stack, dense(CLASSES)]


def _quantized(kind, architecture, weight_bits, activation_bits, integers, weights):
    keras = _keras(kind)
    if kind == TFMOT:
        import tensorflow_model_optimization as tfmot

        if (weight_bits, activation_bits) != (8, 8):
            raise ValueError("tfmot trains with 8 bits for weights and activations only.")
        model = keras.Sequential(_layers(kind, keras, architecture))
        if weights is not None:
            model.set_weights(weights)
        return tfmot.quantization.keras.quantize_model(model)
    import qkeras

    # A scale for each output channel of least squared error, and as many codes on both sides.
    kernel = {
        "kernel_quantizer": f"quantized_bits({weight_bits}, 0, 1, alpha='auto')",
        "bias_quantizer": None,
    }

    def relu(place):
        if activation_bits is None:
            return keras.layers.ReLU()
        return qkeras.QActivation(qkeras.quantized_relu(activation_bits, int(integers[place])))

    model = keras.Sequential(
        _layers(
            kind,
            keras,
            architecture,
            convolution=lambda *args, **options: qkeras.QConv2D(*args, **options, **kernel),
            dense=lambda *args, **options: qkeras.QDense(*args, **options, **kernel),
            relu=relu,
        )
    )
    if weights is not None:
        layers = [layer for layer in model.layers if hasattr(layer, "kernel")]
        for layer, (values, bias) in zip(
            layers, zip(*[iter(weights)] * 2, strict=True), strict=True
        ):
            layer.kernel.assign(values)
            layer.bias.assign(bias)
    return model


def _ours(keras, architecture, x, names):
    import keras_compress as kc

    model = keras.Sequential(_layers(OURS, keras, architecture))
    weights, activations = (f"{name}8" for name in names)
    return kc.quantize_aware(
        model, weights=weights, activations=activations, calibration_data=x[:256]
    )


def _compile(keras, model, learning_rate):
    model.compile(
        keras.optimizers.Adam(learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantize_peers", description=__doc__
    )
    parser.add_argument("what", choices=("train", "time"))
    parser.add_argument("kind", choices=(TFMOT, QKERAS, OURS))
    parser.add_argument("jobs", nargs="*", help="npz files of the jobs to train")
    parser.add_argument("--rounds", type=int, default=25, help="timed epochs of each")
    arguments = parser.parse_args()
    if arguments.what == "train":
        for path in arguments.jobs:
            train(arguments.kind, path)
    else:
        measure(arguments.kind, arguments.rounds)


if __name__ == "__main__":
    main()
