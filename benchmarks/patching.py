"""Time and memory of putting patches on a model and taking them off, by size of the model.

`python -m benchmarks.patching WEIGHTS` builds a residual network of dense layers with about so many
weights in this process and a patch of all of them for each way of storing it. It prints one line of
JSON for each: seconds of applying, of changing the strength and of taking off, in turns with the
seconds of copying all weights, and by how many megabytes the memory of the process grows at its
largest, beside the size of the weights. Each size and codec needs a process of its own, as in
`benchmarks.memory`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.sample_table import largest_memory
from benchmarks.step_time import ROOT
from benchmarks.surgery import build

WEIGHTS = 100_000_000
CODECS = ("float32", "int8", "sparse_int8")
#: Share of the layers, counted from the input, that the patch changes.
SHARES = (1.0, 0.25)
COPY, APPLY, ALPHA, REVERT = "copy", "apply", "alpha", "revert"


def measure_in_process(
    backend: str, num_weights: int, codec: str, share: float = 1.0, rounds: int = 3
) -> dict:
    """What a fresh process finds for one size and codec."""
    options = [str(num_weights), "--codec", codec, "--share", str(share), "--rounds", str(rounds)]
    command = [sys.executable, "-m", "benchmarks.patching", *options]
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed on {backend}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(num_weights: int, codec: str, share: float, rounds: int) -> dict:
    """Seconds of every round, and memory of the first."""
    from keras_reweight.signatures import SignaturePatcher, weight_digest
    from keras_reweight.signatures.live_weights import read_variable

    model = build(num_weights)
    weights = [v for v in model.weights if len(v.shape) == 2]
    weights = weights[: max(1, round(share * len(weights)))]
    patch = make_patch(model, weights, codec)
    before = weight_digest(model)
    start = forget_largest_memory()
    patcher = SignaturePatcher(model)
    patcher.apply(patch, 0.7)
    patcher.set_alpha(patch.name, 0.5)
    patcher.revert()
    grown = largest_memory() - start
    restored = weight_digest(model) == before
    seconds: dict[str, list[float]] = {COPY: [], APPLY: [], ALPHA: [], REVERT: []}
    ways = {
        COPY: lambda: [read_variable(variable) for variable in model.weights],
        APPLY: lambda: patcher.apply(patch, 0.7),
        ALPHA: lambda: patcher.set_alpha(patch.name, 0.5),
        REVERT: patcher.revert,
    }
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return {
        "weights": model.count_params(),
        "patched": sum(int(np.prod(variable.shape)) for variable in weights),
        "model_mb": 4e-6 * model.count_params(),
        "patch_mb": 1e-6 * patch.nbytes,
        "patcher_mb": grown,
        "restored": restored,
        "seconds": seconds,
    }


def forget_largest_memory() -> float:
    """Begin to look for the largest memory anew, where the system can; megabytes held now."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # What was freed and kept for later would hide what is taken next.
        ctypes.CDLL(None).malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return largest_memory()


def make_patch(model, weights, codec):
    """Random changes, drawn and stored weight after weight."""
    from keras_reweight.signatures import Patch
    from keras_reweight.signatures.architecture import Architecture
    from keras_reweight.signatures.codecs import encode_all

    place = {id(variable): index for index, variable in enumerate(model.weights)}
    rng = np.random.default_rng(0)

    def changes() -> Iterator[tuple[int, np.ndarray]]:
        for variable in weights:
            draws = rng.standard_normal(tuple(variable.shape), dtype="float32")
            yield place[id(variable)], 0.01 * draws.astype("float64")

    architecture = Architecture.of(model)
    entries = encode_all(architecture, changes(), codec=codec)
    return Patch(architecture, entries, name="random", kind="edit")


def report(backend: str) -> list[str]:
    """A table in Markdown: every codec and share, as ratios to a copy of all weights."""
    lines = [
        f"## Patching, {backend}",
        "",
        f"A residual network of dense layers with {WEIGHTS:,} weights. Times are medians, as "
        "ratios to the time of one copy of all weights to the host; memory is that by which the "
        "process grows at its largest, as a ratio to the size of all weights.",
        "",
        "| stored as | share patched | copy s | apply | alpha | revert | memory | patch MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for codec in CODECS:
        for share in SHARES:
            found = measure_in_process(backend, WEIGHTS, codec, share)
            middle = {name: float(np.median(values)) for name, values in found["seconds"].items()}
            ratios = " | ".join(f"{middle[n] / middle[COPY]:.1f}" for n in (APPLY, ALPHA, REVERT))
            lines.append(
                f"| {codec} | {found['patched'] / found['weights']:.2f} | {middle[COPY]:.2f} "
                f"| {ratios} | {found['patcher_mb'] / found['model_mb']:.2f} "
                f"| {found['patch_mb']:.0f} |"
            )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=int)
    parser.add_argument("--codec", default="int8")
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    found = measure(arguments.weights, arguments.codec, arguments.share, arguments.rounds)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
