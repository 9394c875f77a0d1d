"""What training under quantization costs in time per step.

Claim: Fake quantization of weights lives in the compiled step and costs a part of it; that of
activations costs more, as it works on every sample.

Paper: None; the target of this package.

Setting: Dense: 784-256-128-10 network. Convolutions: two of 8 and 16 filters of 3 x 3 with stride
two on images of 28 x 28 and a linear layer. Batches of 128, random data, Adam, the CPU with one
thread, one process for each backend and network. Plain `fit` and every method run in turns, an
epoch of 64 steps each, in an order drawn for each round; the first two epochs (compiling) are left
out. Ratio: time of a step divided by that of plain `fit` in the same round. `time` by the clock,
`CPU` by the processor time of the process. Values are medians over rounds with the quartiles.
`ErrorCompensating` is an optimizer, not fake quantization.

Criterion: On every backend, the median ratio of time is at most 1.5 for every arm of
`quantize_aware`.
"""

from __future__ import annotations

import numpy as np

from benchmarks.step_time import CONVOLUTIONS, QUANTIZATION, measure_in_process
from benchmarks.treatments import PLAIN
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
LIMIT = 1.5
WALL, CPU, MILLISECONDS = "time ratio", "CPU ratio", "ms a step"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    for backend in installed_backends(result):
        for label, suite in (("dense", QUANTIZATION), ("convolutions", CONVOLUTIONS)):
            times = measure_in_process(backend, rounds=2 if quick else 6, suite=suite)
            for name, values in times.items():
                arm = f"{backend}, {label}, {name}"
                result.add(arm, MILLISECONDS, values["wall"])
                if name == PLAIN:
                    continue
                for metric, kind in ((WALL, "wall"), (CPU, "cpu")):
                    result.add(arm, metric, np.array(values[kind]) / times[PLAIN][kind])
                if name.startswith("quantize_aware"):
                    result.at_most(arm, result.center(arm, WALL), LIMIT)
    return result
