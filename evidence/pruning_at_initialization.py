"""Before training, flow and gradients tell what to prune; only flow never empties a layer.

Claim: Networks can be pruned before they are trained: SNIP and GraSP find connections that are
worth more than random ones, and SynFlow, which sees no data, prunes further than either without
cutting off a layer. Pruning a trained network by magnitude stays better.

Paper: Lee et al., "SNIP", ICLR 2019, arXiv 1810.02340; Wang et al., "Picking Winning Tickets Before
Training by Preserving Gradient Flow" (GraSP), ICLR 2020, arXiv 2002.07376; Tanaka et al., "Pruning
neural networks without any data by iteratively conserving synaptic flow" (SynFlow), NeurIPS 2020,
arXiv 2006.05467.

Setting: MNIST: 784-128-128-10 network, 5120 images, 5 epochs. CIFAR: three strided convolutions and
a dense layer of 128, 3200 images, 8 epochs. Adam 0.001, batches of 64. All weights are ranked
together, no minimum for any layer. SNIP and GraSP see 100 training images, ten of each class,
SynFlow has 100 rounds. Pruned networks train under `KeepSparsity`; "magnitude after" trains dense
for the same number of epochs, prunes and trains 3 more. "Smallest without collapse" is the smallest
number of weights, out of 2048, 1024, ..., 8, at which every layer of the untrained network still
has one.

Criterion: On both: at 90 %, SNIP and GraSP are at least one point better than random; at 99.5 %,
SynFlow is at least as good as each of random, SNIP and GraSP and leaves a weight in every layer;
and SynFlow's smallest network without collapse is at most half as large as any other's.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np

from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.callbacks import KeepSparsity
from keras_compress.pruning import (
    SNIP,
    GlobalAllocation,
    GraSP,
    LayerCollapseWarning,
    Magnitude,
    RandomScores,
    SynFlow,
    prune_iteratively,
    prune_weights,
)

SEEDS = 3
BATCH = 64
SPARSITIES = {"MNIST": (0.8, 0.9, 0.95, 0.98, 0.995), "CIFAR": (0.9, 0.98, 0.995)}
ACCURACY, THINNEST = "test accuracy %", "weights in the thinnest layer"
SMALLEST = "smallest without collapse"
KINDS = ("random", "SNIP", "GraSP", "SynFlow")
AFTER = "magnitude after"


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((128, 128)), 5_120, 5),
        ("CIFAR", data.cifar, lambda: cnn(hidden=128), 3_200, 8),
    ):
        num_train, epochs = (640, 1) if quick else (num_train, epochs)
        for seed in seeds:
            _one_seed(result, name, split, build, num_train, epochs, seed, quick)
    for name in SPARSITIES:
        _check(result, name)
    return result


def _check(result, name):
    def accuracies(sparsity):
        return {kind: result.center(_arm(name, sparsity, kind), ACCURACY) for kind in KINDS}

    for kind in ("SNIP", "GraSP"):
        gain = accuracies(0.9)[kind] - accuracies(0.9)["random"]
        result.at_least(f"{kind} minus random at 90 % on {name}, in points", gain, 1.0)
    for kind in ("random", "SNIP", "GraSP"):
        gain = accuracies(0.995)["SynFlow"] - accuracies(0.995)[kind]
        result.at_least(f"SynFlow minus {kind} at 99.5 % on {name}, in points", gain, 0.0)
    thinnest = result.center(_arm(name, 0.995, "SynFlow"), THINNEST)
    result.at_least(f"thinnest layer under SynFlow at 99.5 % on {name}", thinnest, 1.0)
    smallest = {kind: result.center(f"{name}, untrained {kind}", SMALLEST) for kind in KINDS}
    share = smallest.pop("SynFlow") / min(smallest.values())
    result.at_most(f"SynFlow's smallest network relative to the others' on {name}", share, 0.5)


def _arm(name, sparsity, kind):
    return f"{name}, {100 * sparsity:g} % {kind}"


def _one_seed(result, name, split, build, num_train, epochs, seed, quick):
    ((x, y),) = take(split, seed, num_train)
    rows = np.concatenate([np.flatnonzero(y == label)[:10] for label in range(NUM_CLASSES)])
    rows = np.random.default_rng([seed, 7]).permutation(rows)
    few = (x[rows], y[rows])
    start(seed)
    initial = build().get_weights()

    def fresh(weights):
        start(seed)
        model = build()
        model.set_weights(weights)
        return compile_classifier(model)

    def fit(model, epochs, *callbacks):
        model.fit(x, y, batch_size=BATCH, epochs=epochs, callbacks=list(callbacks), verbose=0)

    def prune(kind, model, sparsity):
        criterion = {
            "random": RandomScores(seed),
            "SNIP": SNIP(few, batch_size=len(rows)),
            "GraSP": GraSP(few, batch_size=len(rows)),
            "SynFlow": SynFlow(),
            AFTER: Magnitude(),
        }[kind]
        options = {"criterion": criterion, "allocation": GlobalAllocation(min_keep=0.0)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerCollapseWarning)
            if kind == "SynFlow":
                return prune_iteratively(model, sparsity, rounds=10 if quick else 100, **options)
            return prune_weights(model, sparsity, **options)

    def probe(kind, sparsity):
        untrained.set_weights(initial)
        return prune(kind, untrained, sparsity)

    untrained = fresh(initial)
    dense = fresh(initial)
    fit(dense, epochs)
    trained = dense.get_weights()
    result.append(f"{name}, dense", ACCURACY, accuracy(dense, split.x_test, split.y_test))
    for sparsity in SPARSITIES[name]:
        for kind in (*KINDS, AFTER):
            arm = _arm(name, sparsity, kind)
            model = fresh(trained if kind == AFTER else initial)
            report = prune(kind, model, sparsity)
            fit(model, 3 if kind == AFTER else epochs, KeepSparsity())
            result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))
            result.append(arm, THINNEST, min(int(m.sum()) for m in report.masks.values()))
    for kind in KINDS:
        smallest = _smallest(functools.partial(probe, kind))
        result.append(f"{name}, untrained {kind}", SMALLEST, smallest)


def _smallest(prune):
    """The smallest number of weights at which no layer is empty; halved until one is."""
    smallest, total = 4096, None
    while smallest > 8:
        kept = smallest // 2
        if total is None:
            total = sum(mask.size for mask in prune(0.5).masks.values())
        masks = prune(1.0 - kept / total).masks.values()
        if not all(mask.any() for mask in masks):
            break
        smallest = kept
    return smallest
