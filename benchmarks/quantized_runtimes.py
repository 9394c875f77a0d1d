"""What runtimes make of quantized models: sizes, answers and speed, on this CPU with one thread.

`python -m benchmarks.quantized_runtimes JOB` reads a folder that `evidence.quantized_runtimes` has
written, on any backend: `NAME.safetensors` (`save_packed`, activations kept) and `NAME.npz` (test
images `x`, logits of the fake-quantized model). It exports every model from the TensorFlow backend,
as floats, with integers (`export_onnx`, `export_litert`) and with integer weights only, runs the
files in ONNX Runtime and LiteRT, in turns, and prints one line of JSON for each model and file.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from benchmarks.step_time import ROOT

FLOAT, INTEGERS, WEIGHTS = "float", "integers", "integer weights"
ONNX_RUNTIME, LITERT = "ONNX Runtime", "LiteRT"
PACKAGES = ("ai_edge_litert", "onnx", "onnxruntime", "tf2onnx")
BATCH = 256
#: Seconds that one measurement of an inference takes.
SLICE = 0.05


def measure_in_process(job: pathlib.Path, rounds: int) -> list[dict]:
    """What a fresh process on the TensorFlow backend finds for the models of a folder."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    command = [sys.executable, "-m", "benchmarks.quantized_runtimes", str(job)]
    command += ["--rounds", str(rounds)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _onnx(path, *, integers=False):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not integers:
        # Or weights that nothing rounds its input for are made floats in every inference.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _litert(path):
    from ai_edge_litert.interpreter import Interpreter

    made = {}

    def infer(x):
        if len(x) not in made:
            interpreter = Interpreter(str(path), num_threads=1)
            source = interpreter.get_input_details()[0]["index"]
            interpreter.resize_tensor_input(source, x.shape)
            interpreter.allocate_tensors()
            target = interpreter.get_output_details()[0]["index"]
            made[len(x)] = interpreter, source, target
        interpreter, source, target = made[len(x)]
        interpreter.set_tensor(source, x)
        interpreter.invoke()
        return interpreter.get_tensor(target)

    return infer


def _files(quantized, folder):
    """(Runtime, kind) -> (file, how to open it)."""
    from keras_compress.export import export_litert, export_onnx

    found = {}
    for runtime, kind, suffix, write in (
        (ONNX_RUNTIME, FLOAT, "onnx", lambda path: _export(quantized.model, path, "onnx")),
        (ONNX_RUNTIME, WEIGHTS, "onnx", lambda path: _weights(quantized, path)),
        (ONNX_RUNTIME, INTEGERS, "onnx", lambda path: export_onnx(quantized, path)),
        (LITERT, FLOAT, "tflite", lambda path: _export(quantized.model, path, "litert")),
        (LITERT, INTEGERS, "tflite", lambda path: export_litert(quantized, path)),
    ):
        if kind == INTEGERS and not quantized.ranges:
            continue
        path = folder / f"{kind.replace(' ', '-')}.{suffix}"
        report = write(path)
        if report is not None:
            print(report, file=sys.stderr)
        if runtime == LITERT:
            found[runtime, kind] = path, _litert
        else:
            found[runtime, kind] = path, functools.partial(_onnx, integers=kind == INTEGERS)
    return found


def _export(model, path, form):
    model.export(str(path), format=form, verbose=False)


def _weights(quantized, path):
    from keras_compress.export import export_onnx

    return export_onnx(quantized, path, activations=False)


def measure(job: pathlib.Path, name: str, rounds: int) -> list[dict]:
    """Rows of one model, a row for each file."""
    from keras_compress.quantization import load_packed

    quantized = load_packed(job / f"{name}.safetensors", as_="quantized")
    folder = job / name
    folder.mkdir()
    with np.load(job / f"{name}.npz") as arrays:
        x, rounded = arrays["x"], arrays["logits"]
    exact = _logits(lambda batch: np.asarray(quantized.model(batch)), x)
    rows, infers = [], {}
    for (runtime, kind), (path, opened) in _files(quantized, folder).items():
        infers[runtime, kind] = opened(path)
        # Only with integers does a file compute what training computed.
        wanted = rounded if kind == INTEGERS else exact
        rows.append(
            {
                "model": name,
                "runtime": runtime,
                "kind": kind,
                "bytes": path.stat().st_size,
                **_compare(_logits(infers[runtime, kind], x), wanted),
            }
        )
    times = {batch: _time(infers, x[:batch], rounds) for batch in (1, 64)}
    for row in rows:
        for batch, found in times.items():
            row[f"ms {batch}"] = found[row["runtime"], row["kind"]]
    return rows


def _logits(infer, x):
    return np.concatenate([infer(x[start : start + BATCH]) for start in range(0, len(x), BATCH)])


def _compare(found, wanted):
    difference = np.abs(found - wanted) / np.abs(wanted).max()
    return {
        "predictions": found.argmax(axis=1).tolist(),
        "mean difference": float(difference.mean()),
        "largest difference": float(difference.max()),
        "same predictions": float(np.mean(found.argmax(axis=1) == wanted.argmax(axis=1))),
    }


def _time(infers, x, rounds):
    order, keys = np.random.default_rng(0), list(infers)
    counts, found = {}, {key: [] for key in keys}
    for key, infer in infers.items():
        infer(x)
        began = time.perf_counter()
        for _ in range(5):
            infer(x)
        counts[key] = max(1, int(5 * SLICE / (time.perf_counter() - began)))
    for _ in range(rounds):
        for index in order.permutation(len(keys)):
            infer, count = infers[keys[index]], counts[keys[index]]
            infer(x)  # what ran before has filled the caches
            began = time.perf_counter()
            for _ in range(count):
                infer(x)
            found[keys[index]].append(1e3 * (time.perf_counter() - began) / count)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quantized_runtimes", description=__doc__
    )
    parser.add_argument("job", type=pathlib.Path, help="folder with packed files and inputs")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each inference")
    arguments = parser.parse_args()
    for path in sorted(arguments.job.glob("*.safetensors")):
        for row in measure(arguments.job, path.stem, arguments.rounds):
            print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
