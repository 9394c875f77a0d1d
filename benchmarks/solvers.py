"""Time and memory of post-training solvers by the width of the layer.

`python -m benchmarks.solvers` prints one line of JSON for each width and solver: the seconds of
every round beside those of a product of two matrices of this width, and the largest memory that
was held, in matrices. NumPy on the host, the same for every backend.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc

import numpy as np

from keras_compress.post_training import (
    BAQ,
    GPTAQ,
    GPTQ,
    LayerProblem,
    ResComp,
    RoundToNearest,
    Solver,
)

PRODUCT = "product"
SOLVERS: dict[str, Solver] = {
    "rounding": RoundToNearest(),
    "GPTQ": GPTQ(),
    "GPTAQ": GPTAQ(),
    "ResComp": ResComp(),
    "BAQ": BAQ(),
}
#: Widths of all solvers, and the one that only `GPTQ` is measured at, once.
WIDTHS, LARGEST = (256, 512, 1024), 4096


def problem_of_width(width: int) -> LayerProblem:
    """A square layer; statistics of inputs that a smaller layer before it has made."""
    generator = np.random.default_rng(width)
    root = generator.normal(size=(width, width)) / np.sqrt(width)
    gram = root @ root.T + 0.1 * np.eye(width)
    cross = 0.01 * generator.normal(size=(width, width))
    weight = generator.normal(size=(width, width)) / np.sqrt(width)
    return LayerProblem(weight, 4, gram=gram, cross=cross)


def measure(width: int, rounds: int, names: tuple[str, ...] = tuple(SOLVERS)) -> dict:
    """Solver to seconds of each round, with `product`; the solvers run in turns."""
    problem = problem_of_width(width)
    ways = {PRODUCT: lambda: problem.weight @ problem.gram}
    for name in names:
        ways[name] = lambda solver=SOLVERS[name]: solver.solve(problem)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return seconds


def peak_matrices(width: int, name: str) -> float:
    """Largest memory that solving takes on top of the problem, in float64 matrices."""
    problem = problem_of_width(width)
    tracemalloc.start()
    try:
        SOLVERS[name].solve(problem)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak / (8.0 * width * width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for width in (*WIDTHS, LARGEST):
        largest = width == LARGEST
        names = ("GPTQ",) if largest else tuple(SOLVERS)
        seconds = measure(width, 1 if largest else arguments.rounds, names)
        for name in names:
            line = {"width": width, "solver": name, "seconds": seconds[name]}
            line |= {"product": seconds[PRODUCT]}
            if not largest:
                line["matrices"] = peak_matrices(width, name)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
