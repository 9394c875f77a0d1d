"""What matching two networks costs by their width.

Claim: The search for a permutation takes seconds on the host for networks of ordinary width; it
grows like the assignment problems it solves, and activation matching needs one assignment a layer
where weight matching needs one a layer and sweep.

Paper: Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
arXiv 2209.04836, section 3.

Setting: Networks with three hidden layers of 64, 256 and 1024 units and as many inputs; the second
is the first in another order, with noise of 0.3 standard deviations of its weights. NumPy in
float64, the CPU with one thread; `match_activations` sees 512 samples, compiled anew in each call.
Everything runs in turns with the product of two matrices of this width and with one assignment on
that product. Ratios: time divided by that of the product (the assignment) in the same round;
medians over rounds with the quartiles.

Criterion: At width 1024, `match_weights` takes at most 10 seconds and at most 6 products and 3
assignments for each layer and sweep together; `permute` takes at most 1 second.
"""

from __future__ import annotations

import numpy as np

from benchmarks.matching import (
    ACTIVATIONS,
    ASSIGNMENT,
    HIDDEN,
    PERMUTE,
    PRODUCT,
    WEIGHTS,
    WIDTHS,
    measure,
)
from evidence.result import Result

SEEDS = 1
SECONDS, PRODUCTS, ASSIGNMENTS = "seconds", "products", "assignments"
SHARE = "share of 6 products and 3 assignments for each layer and sweep"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    widths = WIDTHS[:2] if quick else WIDTHS
    for width in widths:
        times, sweeps = measure(width, 3 if quick else 7)
        seconds = {name: np.array(values) for name, values in times.items()}
        result.add(f"{width}, one assignment", SECONDS, seconds[ASSIGNMENT])
        for name in (WEIGHTS, ACTIVATIONS, PERMUTE):
            arm = f"{width}, {name}"
            result.add(arm, SECONDS, seconds[name])
            result.add(arm, PRODUCTS, seconds[name] / seconds[PRODUCT])
            result.add(arm, ASSIGNMENTS, seconds[name] / seconds[ASSIGNMENT])
        unit = HIDDEN * sweeps * (6.0 * seconds[PRODUCT] + 3.0 * seconds[ASSIGNMENT])
        result.add(f"{width}, {WEIGHTS}", "sweeps", [sweeps])
        result.add(f"{width}, {WEIGHTS}", SHARE, seconds[WEIGHTS] / unit)
    widest = f"{widths[-1]}, {WEIGHTS}"
    result.at_most(f"{widest}, seconds", result.center(widest, SECONDS), 10.0)
    result.at_most(f"{widest}, {SHARE}", result.center(widest, SHARE), 1.0)
    arm = f"{widths[-1]}, {PERMUTE}"
    result.at_most(f"{arm}, seconds", result.center(arm, SECONDS), 1.0)
    return result
