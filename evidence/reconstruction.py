"""Refitting the layers of a pruned network without labels.

Claim: After pruning, the weights that are left can be refitted layer by layer to the outputs of the
dense network, with a few hundred images and no labels. The outputs of the network come much closer
to those of the dense one, and accuracy comes back without retraining.

Paper: Zimmer et al., "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
arXiv 2312.15230, section 3.4; Frantar and Alistarh, "SparseGPT: Massive Language Models Can be
Accurately Pruned in One-Shot", arXiv 2301.00774.

Setting: MNIST, 784-128-128-10 network, and CIFAR, three strided convolutions and a dense layer of
128, trained for 5 epochs on 10240 and 8 epochs on 6400 images. Every kernel is pruned to 50, 60, 70
and 80 %, one-shot. Arms: by magnitude; the same, refitted by least squares; the same, refitted with
AdamW (200 steps a layer, peak 0.001); `prune_reconstruct`, which prunes by saliency and
compensates; the same, refitted by least squares. 512 training images without labels for all of
them. The error is the mean squared distance of the test logits from those of the dense network,
relative to the logits' variance.

Criterion: On both networks and at every sparsity least squares at least halves the error of
magnitude pruning and loses no accuracy against it; `prune_reconstruct` is nowhere worse than
magnitude pruning in error.
"""

from __future__ import annotations

import numpy as np

import keras_compress as kc
from evidence.data import take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, cnn, compile_classifier, mlp, start

SEEDS = 3
BATCH, CALIBRATION = 64, 512
SPARSITIES = (50, 60, 70, 80)
ACCURACY, ERROR = "test accuracy %", "relative error of logits"
MAGNITUDE, SOLVED, TRAINED = "magnitude", "magnitude, least squares", "magnitude, gradient"
SWEPT, SWEPT_SOLVED = "prune_reconstruct", "prune_reconstruct, least squares"


def run(data, seeds, quick) -> Result:
    result = Result()
    networks = (
        ("MNIST", data.mnist, lambda: mlp((128, 128)), 10_240, 5),
        ("CIFAR", data.cifar, lambda: cnn(hidden=128), 6_400, 8),
    )
    for name, split, build, num_train, epochs in networks:
        num_train, epochs = (2_560, 2) if quick else (num_train, epochs)
        for seed in seeds:
            _one_seed(result, name, split, build, num_train, epochs, seed)
    for name, *_ in networks:
        arms = [f"{name}, {sparsity} %" for sparsity in SPARSITIES]

        def ratio(arm, other, measure=ERROR):
            return result.center(f"{arm}, {other}", measure)

        result.at_most(
            f"largest error of least squares over that of magnitude on {name}",
            max(ratio(arm, SOLVED) / ratio(arm, MAGNITUDE) for arm in arms),
            0.5,
        )
        result.at_least(
            f"smallest gain of least squares in accuracy on {name}, in points",
            min(ratio(a, SOLVED, ACCURACY) - ratio(a, MAGNITUDE, ACCURACY) for a in arms),
            0.0,
        )
        result.at_most(
            f"largest error of prune_reconstruct over that of magnitude on {name}",
            max(ratio(arm, SWEPT) / ratio(arm, MAGNITUDE) for arm in arms),
            1.0,
        )
    return result


def _one_seed(result, name, split, build, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    calibration = x[:CALIBRATION]
    start(seed)
    dense = compile_classifier(build())
    dense.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    weights = dense.get_weights()
    goal = _logits(dense, split)
    result.append(f"{name}, dense", ACCURACY, 100.0 * np.mean(goal.argmax(-1) == split.y_test))
    model = build()

    def measure(sparsity, arm):
        logits = _logits(model, split)
        arm = f"{name}, {sparsity} %, {arm}"
        result.append(arm, ACCURACY, 100.0 * np.mean(logits.argmax(-1) == split.y_test))
        result.append(arm, ERROR, np.mean((logits - goal) ** 2) / np.var(goal))

    def refit(**how):
        kc.retraining.reconstruct(model, dense, calibration, batch_size=128, **how)

    for sparsity in SPARSITIES:
        model.set_weights(weights)
        kc.prune_magnitude(model, sparsity / 100, scope="layer")
        pruned = model.get_weights()
        measure(sparsity, MAGNITUDE)
        refit()
        measure(sparsity, SOLVED)
        model.set_weights(pruned)
        refit(method="gradient", learning_rate=1e-3)
        measure(sparsity, TRAINED)
        model.set_weights(weights)
        kc.retraining.prune_reconstruct(model, calibration, sparsity / 100, batch_size=128)
        measure(sparsity, SWEPT)
        refit()
        measure(sparsity, SWEPT_SOLVED)


def _logits(model, split):
    return model.predict(split.x_test, batch_size=EVALUATION_BATCH, verbose=0)
