"""Time and memory of the plan of `RateDistortionAllocation`, by the number of weights.

`python -m benchmarks.rate_distortion` prints a table, a process for each size. The layers are those
of a network of 32 kernels of unequal sizes, and the curves are made up, so that what is measured is
the choice itself; beside it stands what a table with a column for each surviving weight would take,
and the work that grows with the weights: the order in which they go and one mask a level, measured
for the sizes whose scores fit into memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.step_time import ROOT

SIZES = (10**5, 10**6, 10**7, 10**8)
LAYERS, LEVELS, SPARSITY = 32, 50, 0.9
MEGABYTE = 1e6
#: Largest number of weights for which masks are made, too.
MASKED = 10**7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=int, nargs="?", help="measure one size, in this process")
    arguments = parser.parse_args()
    if arguments.weights is not None:
        print(json.dumps(measure(arguments.weights)))
        return
    print("\n".join(report()))


def report() -> list[str]:
    """The table as lines of Markdown."""
    lines = [
        f"Rate-distortion plan of {LAYERS} kernels, {LEVELS} levels, {SPARSITY:.0%} sparsity.",
        "",
        "| weights | choice s | memory MB | full table MB | order and masks s |",
        "|---:|---:|---:|---:|---:|",
    ]
    for weights in SIZES:
        found = _in_process(weights)
        masks = "" if found["masks"] is None else f"{found['masks']:.3f}"
        lines.append(
            f"| {weights:,} | {found['choice']:.3f} | {found['memory']:.1f} | "
            f"{found['full']:,.0f} | {masks} |"
        )
    return lines


def _in_process(weights):
    command = [sys.executable, "-m", "benchmarks.rate_distortion", str(weights)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(weights: int) -> dict[str, float | None]:
    """Seconds and megabytes for a model of so many weights."""
    from keras_compress.pruning.allocations.distortion_curves import order_of_units
    from keras_compress.pruning.allocations.level_choice import choose_levels

    rng = np.random.default_rng(0)
    shares = rng.pareto(1.0, LAYERS) + 0.1
    sizes = np.maximum((weights * shares / shares.sum()).astype("int64"), LEVELS)
    amounts = np.arange(LEVELS + 1) / LEVELS
    curves = [rng.random() * amounts ** rng.uniform(1.0, 6.0) for _ in sizes]
    costs = [size - np.floor(amounts * size) for size in sizes]
    budget = float((1.0 - SPARSITY) * sizes.sum())
    before, begin = _largest_memory(), time.perf_counter()
    choose_levels(curves, costs, budget)
    found = {"choice": time.perf_counter() - begin, "memory": _largest_memory() - before}
    # Float32 distortions and int32 choices, a column for each weight that may survive.
    found["full"] = 8 * LAYERS * budget / MEGABYTE
    found["masks"] = None
    if weights <= MASKED:
        scores = [rng.random(size, "float32") for size in sizes]
        begin = time.perf_counter()
        for score in scores:
            ranks = order_of_units(score)
            for amount in amounts:
                _ = ranks >= int(amount * score.size)
        found["masks"] = time.perf_counter() - begin
    return found


def _largest_memory():
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes on Linux, bytes on macOS.
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    main()
