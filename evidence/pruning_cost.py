"""What pruning costs in time per training step.

Claim: Masks, patterns, sums of movements and factors of learning rates live in the compiled step
and cost next to nothing between two updates, on every backend.

Paper: None; the target of this package.

Setting: 784-256-128-10 network, batches of 128, random data, Adam, the CPU with one thread, one
process for each backend. Plain `fit` and every method run in turns, an epoch of 64 steps each, in
an order drawn for each round; the first two epochs (compiling) are left out. An epoch counts from
its begin to the next one's, with all that callbacks do at its edges: that is where `PQIndexMonitor`
works. All others have their only update before the epochs that count, or none. Ratio: time of a
step divided by that of plain `fit` in the same round. `time` by the clock, `CPU` by the processor
time of the process. Values are medians over rounds with the quartiles.

Criterion: On every backend, the median ratio of time is at most 1.05 for every method.
"""

from __future__ import annotations

import numpy as np

from benchmarks.step_time import PRUNING, measure_in_process
from benchmarks.treatments import PLAIN
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
LIMIT = 1.05
WALL, CPU, MILLISECONDS = "time ratio", "CPU ratio", "ms a step"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    for backend in installed_backends(result):
        times = measure_in_process(backend, rounds=5 if quick else 25, suite=PRUNING)
        for name, values in times.items():
            arm = f"{backend}, {name}"
            result.add(arm, MILLISECONDS, values["wall"])
            if name == PLAIN:
                continue
            for metric, kind in ((WALL, "wall"), (CPU, "cpu")):
                result.add(arm, metric, np.array(values[kind]) / times[PLAIN][kind])
            result.at_most(arm, result.center(arm, WALL), LIMIT)
    return result
