"""Global magnitude pruning keeps accuracy at 90 % and 95 % sparsity.

Claim: Ranking the weights of all layers together by magnitude and removing the smallest, then
fine-tuning, loses less accuracy than removing the same share of every layer; no more complex
criterion is needed.

Paper: Gupta et al., "Is Complexity Required for Neural Network Pruning? A Case Study on Global
Magnitude Pruning", arXiv 2209.14624; the gradual schedule is that of Zhu and Gupta,
arXiv 1710.01878.

Setting: MNIST: 784-128-128-10 network, 10240 images. CIFAR: three strided convolutions and a dense
layer of 128, 156000 weights, 6400 images. Adam 0.001, batches of 64; 5 and 8 epochs dense, then 3
epochs of fine-tuning for every arm, the dense baseline included. One-shot arms prune and fine-tune
under `KeepSparsity`; the gradual arm runs `MagnitudePruning` with a cubic schedule over the first 2
of its 3 epochs. Random pruning is the lower bound. Zeros are counted with NumPy in the final
kernels.

Criterion: At 95 %, global is at least one point better than layer-wise after fine-tuning; at 90 %,
global loses at most one point against the dense baseline; every sparsity is within 0.001 of its
target.
"""

from __future__ import annotations

import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.callbacks import KeepSparsity, MagnitudePruning
from keras_compress.pruning import Criterion, prune_magnitude, prune_weights, sparsity_report
from keras_compress.schedules import PolynomialDecay

SEEDS = 3
BATCH = 64
SPARSITIES = (0.9, 0.95)
BEFORE, ACCURACY = "before fine-tuning %", "test accuracy %"
ZEROS, SIZE = "zeros in kernels %", "gzip size %"


class Random(Criterion):
    """Scores without meaning, the lower bound of every criterion."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng([seed, 6])

    def score(self, weight):
        return self.rng.random(weight.shape)


def run(data, seeds, quick) -> Result:
    result = Result()
    worst = 0.0
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((128, 128)), 10_240, 5),
        ("CIFAR", data.cifar, lambda: cnn(hidden=128), 6_400, 8),
    ):
        num_train, epochs = (2_560, 2) if quick else (num_train, epochs)
        for seed in seeds:
            worst = max(worst, _one_seed(result, name, split, build, num_train, epochs, seed))
    for name in ("MNIST", "CIFAR"):
        result.at_least(
            f"global minus layer-wise at 95 % on {name}, in points",
            result.center(f"{name}, 95 % global", ACCURACY)
            - result.center(f"{name}, 95 % layer-wise", ACCURACY),
            1.0,
        )
        result.at_least(
            f"global at 90 % minus dense on {name}, in points",
            result.center(f"{name}, 90 % global", ACCURACY)
            - result.center(f"{name}, dense", ACCURACY),
            -1.0,
        )
    result.at_most("largest distance of a sparsity from its target", worst, 1e-3)
    return result


def _one_seed(result, name, split, build, num_train, epochs, seed):
    """Train dense, then every arm from there; returns the worst distance from a target."""
    ((x, y),) = take(split, seed, num_train)

    def fit(model, epochs, *callbacks):
        compile_classifier(model)
        model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=list(callbacks), verbose=0)

    def measure(arm, model):
        result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))
        result.append(arm, ZEROS, 100.0 * zero_share(model))
        report = sparsity_report(model)
        result.append(arm, SIZE, 100.0 * report.gzip_bytes / report.num_bytes)

    start(seed)
    dense = build()
    fit(dense, epochs)
    weights = dense.get_weights()
    fit(dense, 3)
    measure(f"{name}, dense", dense)
    steps = 2 * num_train // BATCH
    worst = 0.0
    for sparsity in SPARSITIES:
        schedule = PolynomialDecay(0.0, sparsity, end_step=steps)
        arms = {
            "global": lambda model: prune_magnitude(model, sparsity),  # noqa: B023
            "layer-wise": lambda model: prune_magnitude(model, sparsity, scope="layer"),  # noqa: B023
            "random": lambda model: prune_weights(model, sparsity, criterion=Random(seed)),  # noqa: B023
            "global, gradual": None,
        }
        for kind, prune in arms.items():
            arm = f"{name}, {100 * sparsity:.0f} % {kind}"
            start(seed)
            model = build()
            model.set_weights(weights)
            if prune is None:
                fit(model, 3, MagnitudePruning(schedule, frequency=max(1, steps // 16)))
            else:
                prune(model)
                result.append(arm, BEFORE, accuracy(model, split.x_test, split.y_test))
                fit(model, 3, KeepSparsity())
            measure(arm, model)
            worst = max(worst, abs(zero_share(model) - sparsity))
    return worst


def zero_share(model) -> float:
    """Share of exact zeros in the kernels, counted without the package."""
    kernels = [array for array in model.get_weights() if array.ndim >= 2]
    return sum(np.sum(array == 0) for array in kernels) / sum(array.size for array in kernels)
