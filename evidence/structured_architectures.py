"""Structured pruning of the models of keras.applications.

Claim: Half of the channels of every group can be taken out of each of these architectures; what is
left computes exactly what the original computes without reading those channels, and it can be
trained.

Paper: Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900; Wang et al.,
"Structurally Prune Anything", arXiv 2403.18955.

Setting: ResNet50, MobileNetV2, MobileNetV3Small, MobileNetV3Large, EfficientNetB0, DenseNet121,
Xception, ConvNeXtTiny and VGG16 with random weights and random statistics of batch normalization,
ten classes, images of 64 by 64 (Xception 96 by 96), a batch of two; half of every group by
magnitude. The original reads zeros in place of the dropped channels; the layer normalizations of
ConvNeXt see the kept channels only. Then a step of training. One process for each backend.

Criterion: On every backend and for every architecture, the largest difference to the masked
original is at most 1e-5 of the largest output, at most 30 % of the parameters are left, and the
training step gives a finite loss and changes the weights.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from evidence._processes import installed_backends
from evidence.result import Check, Result

SEEDS = 1
ARCHITECTURES = (
    "ResNet50",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "EfficientNetB0",
    "DenseNet121",
    "Xception",
    "ConvNeXtTiny",
    "VGG16",
)
QUICK = ("MobileNetV3Small", "VGG16")
_ROOT = pathlib.Path(__file__).resolve().parents[1]


def run(data, seeds, quick) -> Result:
    result = Result()
    names = QUICK if quick else ARCHITECTURES
    for backend in installed_backends(result):
        rows = _measure_in_process(backend, names)
        if set(rows) != set(names):
            missing = sorted(set(names) - set(rows))
            result.checks.append(Check(f"{backend}: {missing} did not finish", False))
        if not rows:
            continue
        for name, row in rows.items():
            arm = f"{backend}, {name}"
            result.add(arm, "million parameters before", [row["before"] / 1e6])
            result.add(arm, "million parameters after", [row["after"] / 1e6])
            result.add(arm, "groups", [row["groups"]])
            result.add(arm, "difference, 1e-7 of the output", [1e7 * row["difference"]])
            result.add(arm, "seconds of analysis", [row["analysis"]])
            result.add(arm, "seconds of rebuilding", [row["rebuild"]])
        worst = max(rows, key=lambda name: rows[name]["difference"])
        result.at_most(
            f"{backend}, largest relative difference, {worst}", rows[worst]["difference"], 1e-5
        )
        left = {name: row["after"] / row["before"] for name, row in rows.items()}
        worst = max(left, key=left.__getitem__)
        result.at_most(f"{backend}, largest share of parameters left, {worst}", left[worst], 0.3)
        finite = all(np.isfinite(row["loss"]) for row in rows.values())
        result.checks.append(Check(f"{backend}, all losses are finite", finite))
        moved = {name: row["moved"] for name, row in rows.items()}
        worst = min(moved, key=moved.__getitem__)
        result.at_least(
            f"{backend}, smallest share of weights that a step changes, {worst}", moved[worst], 0.5
        )
    return result


def _measure_in_process(backend, names):
    done = subprocess.run(
        [sys.executable, "-m", "evidence._architectures", *names],
        cwd=_ROOT,
        # Every step runs once: optimizing the code of it takes longer than running it.
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "XLA_FLAGS": "--xla_backend_optimization_level=0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row.pop("name"): row for row in rows}
