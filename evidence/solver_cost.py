"""What solving a layer costs by its width.

Claim: On the host a solver takes the time of a few products of matrices of the layer's width, also
for wide layers, and holds a few such matrices.

Paper: Frantar et al., GPTQ, arXiv 2210.17323, section 3.3 (lazy batches of updates).

Setting: Square layers of 256 to 1024 inputs, and of 4096 once with GPTQ only; 4 bits, one scale an
output, statistics of the inputs given; NumPy in float64, the CPU with one thread. The solvers run
in turns with the product of two matrices of this width. Ratio: time divided by that of the product
in the same round; medians over rounds with the quartiles. Memory: the largest that was held on top
of the problem, in float64 matrices of this width.

Criterion: From 1024 inputs on, GPTQ takes at most 12 products, at 1024 the others at most three
times the time of GPTQ; no solver holds more than 12 matrices.
"""

from __future__ import annotations

import numpy as np

from benchmarks.solvers import LARGEST, PRODUCT, SOLVERS, WIDTHS, measure, peak_matrices
from evidence.result import Result

SEEDS = 1
PRODUCTS, TIMES, SHARE, MEMORY = 12.0, 3.0, "times GPTQ", 12.0
SECONDS, RATIO, MATRICES = "seconds", "products", "matrices held"


def run(data, seeds, quick) -> Result:
    result = Result("median")
    for width in WIDTHS[:2] if quick else WIDTHS:
        times = measure(width, 3 if quick else 9)
        for name in SOLVERS:
            arm = f"{width}, {name}"
            result.add(arm, SECONDS, times[name])
            result.add(arm, RATIO, np.array(times[name]) / times[PRODUCT])
            result.add(arm, SHARE, np.array(times[name]) / times["GPTQ"])
            result.add(arm, MATRICES, [peak_matrices(width, name)])
    widest = max(width for width in WIDTHS if f"{width}, GPTQ" in {r.arm for r in result.rows})
    if not quick:
        times = measure(LARGEST, 1, ("GPTQ",))
        result.add(f"{LARGEST}, GPTQ", SECONDS, times["GPTQ"])
        ratio = np.array(times["GPTQ"]) / times[PRODUCT]
        result.add(f"{LARGEST}, GPTQ", RATIO, ratio)
        result.at_most(f"products that GPTQ takes at {LARGEST}", float(ratio[0]), PRODUCTS)
    ratio = result.center(f"{widest}, GPTQ", RATIO)
    result.at_most(f"products that GPTQ takes at {widest}", ratio, PRODUCTS)
    for name in SOLVERS:
        arm = f"{widest}, {name}"
        result.at_most(f"time of {name} over that of GPTQ", result.center(arm, SHARE), TIMES)
        result.at_most(f"matrices that {name} holds", result.center(arm, MATRICES), MEMORY)
    return result
