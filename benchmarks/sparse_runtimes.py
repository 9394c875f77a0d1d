"""Which zeros make inference faster, where, on this CPU with one thread.

`python -m benchmarks.sparse_runtimes` exports a dense network and sparse variants of it with
`model.export` from the TensorFlow backend and times them in ONNX Runtime, OpenVINO and LiteRT
(XNNPACK), LiteRT also with the converter's sparse encoding of weights, in turns. It prints one line
of JSON for each model, batch size, runtime and variant: milliseconds of an inference, the speed-up
over the dense network in the same round, the dense network's multiply-adds divided by those that
are left in the shapes (`by shape`) and by those with weights other than zero (`by zeros`), how far
the outputs are from those of Keras, and whether a file names this package. Runtimes that are not
installed (extra `runtimes`) are named and left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np

from benchmarks.step_time import ROOT

DENSE, NARROW, BLOCKS = "dense", "half of the channels", "90 % of blocks 4 x 4"
ONNX_RUNTIME, SPARSE_LITERT = "ONNX Runtime", "LiteRT, sparse encoding"
PACKAGES = {
    ONNX_RUNTIME: ("onnx", "onnxruntime", "tf2onnx"),
    "OpenVINO": ("openvino",),
    "LiteRT": ("ai_edge_litert",),
    SPARSE_LITERT: ("ai_edge_litert",),
}
BATCHES = {"MLP": (1, 64), "CNN": (1,)}
#: Seconds that one measurement of an inference takes, repeated as often as needed.
SLICE = 0.03


def measure_in_process(rounds: int, *, runtimes: list[str] | None = None) -> list[dict]:
    """What a fresh process on the TensorFlow backend finds."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "benchmarks.sparse_runtimes", "--rounds", str(rounds)]
    for name in runtimes or ():
        command += ["--runtime", name]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def installed() -> list[str]:
    """The runtimes whose packages are there."""
    return [
        name
        for name, packages in PACKAGES.items()
        if all(importlib.util.find_spec(package) is not None for package in packages)
    ]


def mlp(width: int):
    """1024 inputs, three layers of `width`, 10 outputs."""
    import keras

    hidden = [keras.layers.Dense(width, "relu") for _ in range(3)]
    return keras.Sequential([keras.Input((1024,)), *hidden, keras.layers.Dense(10)])


def cnn(width: int):
    """Depthwise and 1x1 convolutions on 96 x 96 images, as XNNPACK wants them for zeros."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((96, 96, 3)),
            layers.ZeroPadding2D(1),
            layers.Conv2D(width // 4, 3, strides=2, activation="relu"),
            layers.ZeroPadding2D(1),
            layers.DepthwiseConv2D(3, strides=2, activation="relu"),
            layers.Conv2D(width, 1, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(width, 1, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu"),
            layers.Conv2D(width, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


MODELS = {"MLP": (mlp, 1024), "CNN": (cnn, 256)}


def _inside(layer) -> bool:
    """Dense layers and 1x1 convolutions, but for the last layer."""
    kernel = getattr(layer, "kernel", None)
    return kernel is not None and kernel.shape[-2] > 3 and kernel.shape[-1] > 10


def _zeros(sparsity, pattern=None):
    def prune(model):
        from keras_compress.pruning import UniformAllocation, prune_weights

        made = None if pattern is None else pattern()
        prune_weights(model, sparsity, pattern=made, allocation=UniformAllocation(), layers=_inside)
        return model

    return prune


def _two_of_four():
    from keras_compress.pruning import NMPattern

    return NMPattern(2, 4)


def _blocks():
    from keras_compress.pruning import BlockPattern

    return BlockPattern((4, 4))


def _narrow(model):
    from keras_compress import prune_structured

    return prune_structured(model, 0.5)


#: What is done to the dense network, whose weights are random.
VARIANTS: dict[str, Callable] = {
    DENSE: lambda model: model,
    "50 % of weights": _zeros(0.5),
    "80 % of weights": _zeros(0.8),
    "90 % of weights": _zeros(0.9),
    "95 % of weights": _zeros(0.95),
    "2 of 4 weights": _zeros(0.5, _two_of_four),
    "50 % of blocks 4 x 4": _zeros(0.5, _blocks),
    "80 % of blocks 4 x 4": _zeros(0.8, _blocks),
    BLOCKS: _zeros(0.9, _blocks),
    NARROW: _narrow,
}


def _variants(name):
    """A model for each variant, made of the same weights."""
    import keras

    build, width = MODELS[name]
    keras.utils.set_random_seed(0)
    weights = build(width).get_weights()
    for variant, change in VARIANTS.items():
        model = build(width)
        model.set_weights(weights)
        yield variant, change(model)


def _multiply_adds(model):
    """With the kernels as they are, and with their zeros left out."""
    import keras

    total = nonzero = 0
    for layer in model.layers:
        if getattr(layer, "kernel", None) is not None:
            positions = int(np.prod(layer.output.shape[1:-1], dtype="int64"))
            kernel = keras.ops.convert_to_numpy(layer.kernel.value)
            total += positions * kernel.size
            nonzero += positions * int(np.count_nonzero(kernel))
    return total, nonzero


def _onnx_runtime(model, folder, batch):
    import onnxruntime

    path = folder / "model.onnx"
    if not path.exists():
        model.export(str(path), format="onnx", verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _openvino(model, folder, batch):
    import openvino

    path = folder / "model.xml"
    if not path.exists():
        model.export(str(path), format="openvino", verbose=False)
    core = openvino.Core()
    network = core.read_model(path)
    network.reshape([batch, *model.input_shape[1:]])
    # Without the hint, CPUs that can compute in bfloat16 do.
    options = {
        "INFERENCE_NUM_THREADS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = core.compile_model(network, "CPU", options)
    request = compiled.create_infer_request()
    return lambda x: request.infer(x)[0]


def _litert(model, folder, batch, *, sparse=False):
    from ai_edge_litert.interpreter import Interpreter

    path = folder / f"model{'-sparse' if sparse else ''}.tflite"
    if not path.exists():
        options = {}
        if sparse:
            import tensorflow as tf

            options["optimizations"] = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
        model.export(str(path), format="litert", verbose=False, **options)
    interpreter = Interpreter(str(path), num_threads=1)
    source, target = (
        details[0]["index"]
        for details in (interpreter.get_input_details(), interpreter.get_output_details())
    )
    interpreter.resize_tensor_input(source, [batch, *model.input_shape[1:]])
    interpreter.allocate_tensors()

    def infer(x):
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return infer


OPEN = {
    ONNX_RUNTIME: _onnx_runtime,
    "OpenVINO": _openvino,
    "LiteRT": _litert,
    SPARSE_LITERT: lambda *found: _litert(*found, sparse=True),
}


def measure(name: str, runtimes: list[str], rounds: int, directory: pathlib.Path) -> list[dict]:
    """Rows of one model, all its variants in all runtimes in turns."""
    rng = np.random.default_rng(0)
    rows = []
    models = dict(_variants(name))
    size = models[DENSE].input_shape[1:]
    work = {variant: _multiply_adds(model) for variant, model in models.items()}
    for batch in BATCHES[name]:
        x = rng.normal(size=(batch, *size)).astype("float32")
        inferences, differences, names_us = {}, {}, {}
        for index, (variant, model) in enumerate(models.items()):
            expected = np.asarray(model(x))
            folder = directory / name / str(index)
            folder.mkdir(parents=True, exist_ok=True)
            for runtime in runtimes:
                infer = OPEN[runtime](model, folder, batch)
                error = np.abs(infer(x) - expected).max() / np.abs(expected).max()
                inferences[runtime, variant], differences[runtime, variant] = infer, float(error)
            names_us[variant] = _names_us(folder)
        milliseconds = _time(inferences, x, rounds)
        for (runtime, variant), values in milliseconds.items():
            base = milliseconds[runtime, DENSE]
            rows.append(
                {
                    "model": name,
                    "batch": batch,
                    "runtime": runtime,
                    "variant": variant,
                    "ms": values,
                    "speed-up": [one / other for one, other in zip(base, values, strict=True)],
                    "by shape": work[DENSE][0] / work[variant][0],
                    "by zeros": work[DENSE][0] / work[variant][1],
                    "difference": differences[runtime, variant],
                    "names us": names_us[variant],
                }
            )
    return rows


def _names_us(folder):
    """Whether an exported file needs this package, or knows that there is one."""
    names = (b"keras_compress", b"keras_reweight")
    return any(name in path.read_bytes() for path in folder.iterdir() for name in names)


def _time(inferences, x, rounds):
    counts = {}
    for key, infer in inferences.items():
        began = time.perf_counter()
        for _ in range(5):
            infer(x)
        counts[key] = max(1, int(5 * SLICE / (time.perf_counter() - began)))
    order = np.random.default_rng(0)
    keys = list(inferences)
    found: dict[tuple[str, str], list[float]] = {key: [] for key in keys}
    for _ in range(rounds):
        for index in order.permutation(len(keys)):
            infer, count = inferences[keys[index]], counts[keys[index]]
            infer(x)  # what ran before has filled the caches
            began = time.perf_counter()
            for _ in range(count):
                infer(x)
            found[keys[index]].append(1e3 * (time.perf_counter() - began) / count)
    return found


def report(rounds: int) -> list[str]:
    """Tables in Markdown, a row for each variant and a column for each runtime."""
    rows = measure_in_process(rounds)
    lines = [
        "## Sparse inference",
        "",
        f"Milliseconds (speed-up over the dense network), medians of {rounds} rounds, one thread.",
        "",
    ]
    for name, batch in sorted({(row["model"], row["batch"]) for row in rows}):
        part = [row for row in rows if (row["model"], row["batch"]) == (name, batch)]
        runtimes = list(dict.fromkeys(row["runtime"] for row in part))
        lines += [f"### {name}, batch of {batch}", "", f"| | work left | {' | '.join(runtimes)} |"]
        lines.append("|---" * (len(runtimes) + 2) + "|")
        for variant in VARIANTS:
            cells = []
            for runtime in runtimes:
                (row,) = (
                    row for row in part if (row["runtime"], row["variant"]) == (runtime, variant)
                )
                cells.append(f"{np.median(row['ms']):.3f} ({np.median(row['speed-up']):.2f})")
            lines.append(f"| {variant} | {1 / row['by zeros']:.2f} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sparse_runtimes", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each inference")
    parser.add_argument("--runtime", action="append", choices=PACKAGES, help="repeatable")
    arguments = parser.parse_args()
    runtimes = [name for name in arguments.runtime or PACKAGES if name in installed()]
    missing = sorted(set(arguments.runtime or PACKAGES) - set(runtimes))
    if missing:
        print(f"Not installed (extra `runtimes`): {', '.join(missing)}.", file=sys.stderr)
    with tempfile.TemporaryDirectory() as directory:
        for name in MODELS:
            for row in measure(name, runtimes, arguments.rounds, pathlib.Path(directory)):
                print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
