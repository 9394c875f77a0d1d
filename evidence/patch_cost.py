"""What patching costs on a model of a hundred million weights.

Claim: A patch of all weights goes on a large model and comes off again in the time of a few copies
of the weights, with memory for about one more copy, on every backend; one of few layers costs as
much less.

Paper: None; the target of this package.

Setting: A residual network of dense layers with 100 million float32 weights, random changes of all
kernels or of those of the first quarter of the layers; the CPU with one thread, a process for each
backend, codec and share. Ratio of time: to one copy of all weights to the host in the same round;
medians over 3 rounds with the quartiles. `apply`, `alpha` (another strength), `revert`: each reads
and hashes what is patched, to find out training in between; the first two compute and write it.
Memory: by how much the process grows at its largest in all three together, as a ratio to the size
of all weights; the patch itself is not in it, its size stands beside.

Criterion: On every backend, with all weights patched and stored at 8 bits, applying and reverting
together take at most 20 copies and memory for at most 2; every digest is the one before.
"""

from __future__ import annotations

import numpy as np

from benchmarks.patching import (
    ALPHA,
    APPLY,
    COPY,
    REVERT,
    WEIGHTS,
    measure_in_process,
)
from evidence._processes import installed_backends
from evidence.result import Result

SEEDS = 1
COPIES, MEMORY = 20.0, 2.0
CASES = (("int8", 1.0), ("int8", 0.25), ("float32", 1.0))
GROWN, SIZE, SECONDS = "memory, in weight copies", "patch, in weight copies", "s of a copy"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    weights = WEIGHTS // 20 if quick else WEIGHTS
    for backend in installed_backends(result):
        restored = True
        for codec, share in CASES[:1] if quick else CASES:
            found = measure_in_process(backend, weights, codec, share)
            arm = f"{backend}, {codec}, {100 * share:.0f} % of the layers"
            copies = np.array(found["seconds"][COPY])
            result.add(arm, SECONDS, copies)
            ratios = {}
            for name in (APPLY, ALPHA, REVERT):
                ratios[name] = np.array(found["seconds"][name]) / copies
                result.add(arm, f"{name}, in copies", ratios[name])
            result.add(arm, GROWN, [found["patcher_mb"] / found["model_mb"]])
            result.add(arm, SIZE, [found["patch_mb"] / found["model_mb"]])
            restored = restored and found["restored"]
            if codec == "int8" and share == 1.0:
                both = float(np.median(ratios[APPLY] + ratios[REVERT]))
                result.at_most(f"{backend}: copies that on and off take", both, COPIES)
                grown = result.center(arm, GROWN)
                result.at_most(f"{backend}: copies of memory", grown, MEMORY)
        result.at_least(f"{backend}: digests are restored", float(restored), 1.0)
    return result
