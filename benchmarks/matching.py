"""Time of matching two networks by their width.

`python -m benchmarks.matching` prints one line of JSON for each width: the seconds of every round
of `match_weights`, `match_activations` and `permute`, beside those of a product of two matrices of
this width and of one assignment. The search runs in NumPy on the host, the same for every backend.
"""

from __future__ import annotations

import argparse
import json
import time

import keras
import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_reweight.matching import match_activations, match_weights, permute

PRODUCT, ASSIGNMENT = "product", "assignment"
WEIGHTS, ACTIVATIONS, PERMUTE = "match_weights", "match_activations", "permute"
WIDTHS = (64, 256, 1024)
SAMPLES, HIDDEN = 512, 3


def pair_of_width(width: int) -> tuple[keras.Model, keras.Model, np.ndarray]:
    """Two networks with three hidden layers, the second the first in another order, with noise."""
    rng = np.random.default_rng(width)
    models = []
    for _ in range(2):
        stack = [keras.Input((width,))]
        stack += [
            keras.layers.Dense(width, "relu", kernel_initializer="zeros", name=f"hidden{number}")
            for number in range(HIDDEN)
        ]
        models.append(keras.Sequential([*stack, keras.layers.Dense(10)]))
    first, second = models
    scale = np.sqrt(2.0 / width)
    first.set_weights([scale * rng.normal(size=weight.shape) for weight in first.weights])
    second.set_weights(
        [weight + 0.3 * scale * rng.normal(size=weight.shape) for weight in first.get_weights()]
    )
    orders = {f"hidden{number}": rng.permutation(width) for number in range(HIDDEN)}
    with permute(second, orders).patched(second):
        shuffled = second.get_weights()
    second.set_weights(shuffled)
    return first, second, rng.normal(size=(SAMPLES, width)).astype("float32")


def measure(width: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Seconds of each round, everything in turns, and the sweeps of `match_weights`."""
    first, second, x = pair_of_width(width)
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, width, width))
    matching = match_weights(first, second)
    ways = {
        PRODUCT: lambda: left @ right,
        ASSIGNMENT: lambda: linear_sum_assignment(left @ right, maximize=True),
        WEIGHTS: lambda: match_weights(first, second),
        ACTIVATIONS: lambda: match_activations(first, second, x, batch_size=SAMPLES),
        PERMUTE: lambda: permute(second, matching),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return seconds, len(matching.similarity) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    for width in WIDTHS:
        seconds, sweeps = measure(width, arguments.rounds)
        print(json.dumps({"width": width, "sweeps": sweeps, **seconds}), flush=True)


if __name__ == "__main__":
    main()
