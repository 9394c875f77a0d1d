"""Removing channels makes inference faster everywhere, zeros only where a runtime skips them.

Claim: A network without half of its channels runs about as much faster as it has fewer
multiply-adds, in every runtime. Zeros at single places, two of four included, make nothing faster
on this CPU; whole blocks of zeros do in the one runtime that has a format for them.

Paper: None; the fast inference of zeros is announced in Elsen et al., "Fast Sparse ConvNets",
arXiv 1911.09723 (XNNPACK), and Mishra et al., arXiv 2104.08378 (two of four, GPUs).

Setting: `python -m benchmarks.sparse_runtimes`: three dense layers of 1024 (batches of 1 and 64)
and a network of depthwise and 1x1 convolutions of 256 channels on 96 x 96 images (one at a time),
random weights, pruned with `prune_weights` and its patterns or `prune_structured`, exported with
`model.export` from the TensorFlow backend. ONNX Runtime, OpenVINO in float32, LiteRT (XNNPACK) as
exported and with the sparse encoding of its converter; one thread. All are timed in turns, in an
order drawn for each round. Speed-up: time of the dense network divided by that of the variant in
the same round; medians over rounds with the quartiles.

Criterion: In ONNX Runtime, half of the channels gives at least 0.8 of the speed-up that the
multiply-adds promise, on both networks and at both sizes of batches; dense layers with 90 % of
blocks of 4 x 4 zero are at least twice as fast in LiteRT with its sparse encoding, one sample at a
time; all outputs are those of Keras within 1e-4 of the largest, and no exported file has a trace of
this package.
"""

from __future__ import annotations

import numpy as np

from benchmarks.sparse_runtimes import (
    BLOCKS,
    DENSE,
    NARROW,
    ONNX_RUNTIME,
    PACKAGES,
    SPARSE_LITERT,
    measure_in_process,
)
from evidence.result import Check, Result

SEEDS = 1
SAVED = "multiply-adds by those left"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    rows = measure_in_process(4 if quick else 25)
    for missing in sorted(set(PACKAGES) - {row["runtime"] for row in rows}):
        result.checks.append(Check(f"{missing} is not installed (extra `runtimes`)", False))
    dense = {}
    for row in rows:
        task = f"{row['model']}, batch of {row['batch']}"
        if row["variant"] == DENSE:
            dense.setdefault(task, []).append(f"{row['runtime']} {np.median(row['ms']):.3g}")
            continue
        arm = f"{task}: {row['variant']}"
        if row["runtime"] == rows[0]["runtime"]:
            result.add(arm, SAVED, [row["by zeros"]])
        metric = f"speed-up, {row['runtime']}"
        result.add(arm, metric, row["speed-up"])
        found = result.center(arm, metric)
        if (row["runtime"], row["variant"]) == (ONNX_RUNTIME, NARROW):
            text = f"{arm}, {row['runtime']}: speed-up by the {row['by shape']:.3g} promised"
            result.at_least(text, found / row["by shape"], 0.8)
        wanted = ("MLP", 1, SPARSE_LITERT, BLOCKS)
        if tuple(row[key] for key in ("model", "batch", "runtime", "variant")) == wanted:
            result.at_least(f"{arm}, {row['runtime']}: speed-up", found, 2.0)
    for task, times in dense.items():
        result.notes.append(f"Dense {task}, milliseconds: {', '.join(times)}.")
    worst = max((row["difference"] for row in rows), default=float("inf"))
    result.at_most("largest relative difference of outputs", worst, 1e-4)
    named = sum(row["names us"] for row in rows)
    result.at_most("files with a trace of this package", named, 0)
    return result
