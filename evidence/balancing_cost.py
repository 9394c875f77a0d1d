"""Balancing several losses costs the backward passes it needs, and nothing where values suffice.

Claim: A step that looks at the gradients of K losses takes no longer than one forward and K
backward passes, up to a small part, and one that looks at the values of the losses no longer than a
plain step, on every backend.

Paper: None; the target of this package.

Setting: `python -m benchmarks.balancing_step`: three convolutions of stride two (16, 32, 64
filters) with batch normalization, shared, and 2 or 6 heads of 10 classes, batches of 64, SGD,
random data, the CPU with one thread, one process for each backend and number of losses. All arms
run in turns, an epoch of 8 steps each; the first two epochs (compiling) are left out. A backward
pass is the time of a plain step minus that of a step of `evaluate` (in medians over rounds).
`LossBalancing` with PCGrad, MGDA, CAGrad, UPGrad, GradNorm: time of a step divided by that of a
plain step of the same round and K - 1 more backward passes. RECAP, which needs values only, in
`LossBalancing` and as the callback `BalanceLosses`: divided by a plain step. Medians over rounds
with the quartiles.

Criterion: On every backend and for every K, the median ratio is at most 1.15 for methods of
gradients and at most 1.05 for methods of values.
"""

from __future__ import annotations

import numpy as np

from benchmarks.balancing_step import FORWARD, OF_GRADIENTS, OF_VALUES, PLAIN, measure_in_process
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
COUNTS = (2, 6)
LIMIT, LIMIT_OF_VALUES = 1.15, 1.05
MILLISECONDS, RATIO = "ms a step", "ratio"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    for backend in installed_backends(result):
        for tasks in COUNTS:
            times = measure_in_process(backend, tasks, rounds=3 if quick else 7)
            plain, forward = np.array(times[PLAIN]), np.array(times[FORWARD])
            backward = max(float(np.median(plain) - np.median(forward)), 0.0)
            for name, expected, limit in (
                *((name, plain + (tasks - 1) * backward, LIMIT) for name in OF_GRADIENTS),
                *((name, plain, LIMIT_OF_VALUES) for name in OF_VALUES),
            ):
                arm = f"{backend}, {tasks} losses, {name}"
                result.add(arm, MILLISECONDS, times[name])
                result.add(arm, RATIO, np.array(times[name]) / expected)
                result.at_most(arm, result.center(arm, RATIO), limit)
            for name in (PLAIN, FORWARD):
                result.add(f"{backend}, {tasks} losses, {name}", MILLISECONDS, times[name])
    return result
