"""Runtimes compute what quantization-aware training has trained.

Claim: The files of `export_onnx` and `export_litert` answer as the fake-quantized model does, take
about a quarter of the float files at 8 bits and less at 4, and run faster than those where a
runtime computes in integers.

Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, arXiv 1712.05877; the file formats are those of ONNX
and LiteRT.

Setting: A dense network (784-1024-1024-10) on 10240 images of MNIST, and convolutions of stride two
(64, 128, 128 filters), a depthwise one and a linear layer on 6400 images of CIFAR; 2 epochs float
(CIFAR: 6), then one with LSQ at 8-bit weights and inputs, or with 4-bit weights alone. Trained on
this backend and saved by `save_packed`; a process on the TensorFlow backend loads the codes,
exports and runs them (`benchmarks/quantized_runtimes.py`): ONNX Runtime, LiteRT with XNNPACK, one
thread, in turns. Differences of logits are relative to the largest logit: of files with integers to
the fake-quantized model, of the others to the frozen one. Speed-up: time of the float file in the
same runtime and round divided by that of the file; medians of rounds with quartiles.

Criterion: At 8 bits, both runtimes give the fake-quantized model's prediction for at least 99.5 %
of the test images, with logits that differ by at most 0.001 on average; weights alone, at 8 and at
4 bits, by at most 0.001; ONNX files with int8 weights take at most 0.3 of the float files and those
with int4 at most 0.2, LiteRT files, whose last layer stays float, at most 0.35; both runtimes are
faster with integers than with floats on both networks, one image at a time.
"""

from __future__ import annotations

import importlib.util
import pathlib
import tempfile

import keras
import numpy as np
from keras import layers

from benchmarks.quantized_runtimes import (
    FLOAT,
    INTEGERS,
    LITERT,
    PACKAGES,
    WEIGHTS,
    measure_in_process,
)
from evidence.data import NUM_CLASSES, take
from evidence.result import Check, Result
from evidence.training import compile_classifier, mlp, start
from keras_compress.quantization import quantize_aware, save_packed

SEEDS = 1
BATCH = 64


def network() -> keras.Model:
    """A classifier of CIFAR images of a width that runtimes can make use of; gives logits."""
    stack = [keras.Input((32, 32, 3))]
    for filters in (64, 128, 128):
        stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    stack.append(layers.DepthwiseConv2D(3, padding="same", activation="relu"))
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(NUM_CLASSES)])


def run(data, seeds, quick) -> Result:
    result = Result("median")
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        result.checks.append(Check(f"{missing} are not installed (extra `runtimes`)", False))
        return result
    (seed,) = seeds
    labels = {}
    with tempfile.TemporaryDirectory() as directory:
        job = pathlib.Path(directory)
        for name, split, build, num_train, epochs in (
            ("MNIST", data.mnist, lambda: mlp((1024, 1024)), 10_240, 2),
            ("CIFAR", data.cifar, network, 6_400, 6),
        ):
            num_train, epochs = (1_280, 1) if quick else (num_train, epochs)
            for key in _train(job, name, split, build, num_train, epochs, seed):
                labels[key] = split.y_test[:2000]
        rows = measure_in_process(job, 3 if quick else 15)
    _report(result, rows, labels)
    return result


def _train(job, name, split, build, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    start(seed)
    trained = compile_classifier(build())
    trained.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    for label, arguments in (
        ("w8a8", {"weights": 8, "activations": 8, "calibration_data": x[:512]}),
        ("w4", {"weights": 4}),
    ):
        start(seed)
        aware = compile_classifier(quantize_aware(trained, **arguments), 3e-4)
        aware.fit(x, y, batch_size=BATCH, verbose=0)
        key = f"{name} {label}"
        save_packed(aware, job / f"{key}.safetensors", activations="keep")
        images = split.x_test[:2000]
        logits = aware.predict(images, verbose=0)
        np.savez(job / f"{key}.npz", x=images, logits=logits)
        yield key


def _report(result, rows, labels):
    floats = {(row["model"], row["runtime"]): row for row in rows if row["kind"] == FLOAT}
    for row in rows:
        base = floats[row["model"], row["runtime"]]
        arm = f"{row['model']}, {row['runtime']}, {row['kind']}"
        hits = np.array(row["predictions"]) == labels[row["model"]]
        result.add(arm, "test accuracy %", [100.0 * hits.mean()])
        result.add(arm, "file kB", [row["bytes"] / 1e3])
        result.add(arm, "mean difference of logits", [row["mean difference"]])
        result.add(arm, "same predictions %", [100.0 * row["same predictions"]])
        for batch in (1, 64):
            times = f"ms {batch}"
            result.add(arm, f"milliseconds, batch of {batch}", row[times])
            if row is base:
                continue
            ratios = [one / other for one, other in zip(base[times], row[times], strict=True)]
            result.add(arm, f"speed-up, batch of {batch}", ratios)
            if (row["kind"], batch) == (INTEGERS, 1):
                result.at_least(f"{arm}: speed-up", float(np.median(ratios)), 1.0)
        if row is base:
            continue
        four = row["kind"] == WEIGHTS and row["model"].endswith("w4")
        limit = 0.35 if row["runtime"] == LITERT else 0.2 if four else 0.3
        result.at_most(f"{arm}: size by float size", row["bytes"] / base["bytes"], limit)
        result.at_most(f"{arm}: mean difference of logits", row["mean difference"], 1e-3)
        if row["kind"] == INTEGERS:
            result.at_least(f"{arm}: same predictions %", 100.0 * row["same predictions"], 99.5)
        result.notes.append(f"{arm}: largest difference of logits {row['largest difference']:.2g}.")
