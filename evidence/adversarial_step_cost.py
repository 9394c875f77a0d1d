"""A step of adversarial training costs what its gradients cost.

Claim: A training step with an attack of K steps takes no longer than 1 + K plain training steps,
up to a small part, on every backend.

Paper: None; the target of this package.

Setting: `python -m benchmarks.adversarial_step`: three convolutions of stride two (16, 32, 64
filters) with batch normalization, and a dense network (512, 512), batches of 64, Adam, random data,
the CPU with one thread, one process for each backend. Plain `fit` and `AdversarialTraining` with
`FGSM` and `PGD` of 5 and of 10 steps run in turns, an epoch of 8 steps each; the first two epochs
(compiling) are left out. Ratio: time of a step divided by 1 + K times that of a plain step of the
same round. Values are medians over rounds with the quartiles.

Criterion: On every backend and for both networks, the median ratio is at most 1.15.
"""

from __future__ import annotations

import numpy as np

from benchmarks.adversarial_step import ARCHITECTURES, ATTACKS, PLAIN, measure_in_process
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
LIMIT = 1.15
MILLISECONDS, RATIO = "ms a step", "ratio to 1 + K plain steps"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    for backend in installed_backends(result):
        for architecture in ARCHITECTURES:
            times = measure_in_process(backend, architecture, rounds=3 if quick else 15)
            plain = np.array(times[PLAIN])
            result.add(f"{backend}, {architecture}, {PLAIN}", MILLISECONDS, plain)
            for name, gradients in ATTACKS.items():
                arm = f"{backend}, {architecture}, {name}"
                result.add(arm, MILLISECONDS, times[name])
                result.add(arm, RATIO, np.array(times[name]) / ((1 + gradients) * plain))
                result.at_most(arm, result.center(arm, RATIO), LIMIT)
    return result
