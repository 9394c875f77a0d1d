"""Magnitude pruning is as accurate as TensorFlow Model Optimization's, and cheaper.

Claim: With the same weights, batches, schedule and sparsity of every layer, `MagnitudePruning` ends
where `prune_low_magnitude` ends; ranking all layers together is better at high sparsities; and a
training step gets slower by at most half as much.

Paper: Zhu and Gupta, "To prune, or not to prune", arXiv 1710.01878; the peer is
tensorflow-model-optimization 0.8.1 with tf-keras 2.21, in a process of its own.

Setting: MNIST: 784-128-128-10 network, 10240 images, 5 epochs dense. CIFAR: three strided
convolutions and a dense layer of 128, 6400 images, 8 epochs dense. Every arm starts from these
weights and trains 3 more epochs with Adam 0.001 and batches of 64 in the same order, under a cubic
schedule that ends after 2 of them, masks updated every 20 steps. Time: `python -m
benchmarks.tfmot_peer time`: 784-256-128-10 network, batches of 128, random data, one thread, masks
updated every 100 steps to 90 %; pruned and plain `fit` in turns, an epoch of 64 steps each, ours on
the TensorFlow backend against Keras 3, theirs against tf_keras; medians over epochs.

Criterion: At 50, 80, 90, 95 and 98 % and on both data sets, layer-wise and global pruning lose at
most half a point against tfmot, and global pruning nothing at 95 and 98 %; the sparsities differ by
at most 0.001; our overhead of a step is at most half of theirs.
"""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from benchmarks.tfmot_peer import PLAIN, PRUNED, run_process
from evidence.data import take
from evidence.pruning import zero_share
from evidence.result import Check, Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.callbacks import MagnitudePruning
from keras_compress.schedules import PolynomialDecay

SEEDS = 3
BATCH, EPOCHS, FREQUENCY = 64, 3, 20
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.98)
THEIRS, LAYER, GLOBAL = "tfmot", "ours, layer-wise", "ours, global"
SCOPES = {LAYER: "layer", GLOBAL: "global"}
ACCURACY, MILLISECONDS, OVERHEAD = "test accuracy %", "ms a step", "overhead %"


def run(data, seeds, quick) -> Result:
    result = Result()
    worst = 0.0
    sparsities = SPARSITIES[-2:] if quick else SPARSITIES
    tasks = (
        ("MNIST", data.mnist, "mlp", lambda: mlp((128, 128)), 10_240, 5),
        ("CIFAR", data.cifar, "cnn", lambda: cnn(hidden=128), 6_400, 8),
    )
    try:
        for name, split, architecture, build, num_train, epochs in tasks:
            num_train, epochs = (2_560, 2) if quick else (num_train, epochs)
            for seed in seeds:
                task = (name, split, architecture, build, num_train, epochs)
                worst = max(worst, _one_seed(result, *task, sparsities, seed))
    except RuntimeError as error:
        result.checks.append(Check(f"the peer is not there: {error}", False))
        return result
    for name, *_ in tasks:
        for sparsity in sparsities:
            theirs, layer, everywhere = (
                result.center(_arm(name, sparsity, kind), ACCURACY)
                for kind in (THEIRS, LAYER, GLOBAL)
            )
            level = f"tfmot at {100 * sparsity:.0f} % on {name}, in points"
            result.at_least(f"layer-wise minus {level}", layer - theirs, -0.5)
            lowest = 0.0 if sparsity >= 0.95 else -0.5
            result.at_least(f"global minus {level}", everywhere - theirs, lowest)
    result.at_most("largest difference of sparsities", worst, 1e-3)
    overheads = {}
    for kind, ours in ((THEIRS, False), ("ours", True)):
        (times,) = run_process("time", "--rounds", "5" if quick else "25", ours=ours)
        for way in (PLAIN, PRUNED):
            result.add(f"time, {kind}, {way}", MILLISECONDS, times[way])
        ratios = np.array(times[PRUNED]) / times[PLAIN]
        result.add(f"time, {kind}, {PRUNED}", OVERHEAD, 100.0 * (ratios - 1.0))
        overheads[kind] = 100.0 * float(np.median(ratios) - 1.0)
    result.at_most(
        "our overhead of a step in percent, at most half of theirs",
        overheads["ours"],
        overheads[THEIRS] / 2,
    )
    return result


def _arm(name, sparsity, kind):
    return f"{name}, {100 * sparsity:.0f} %, {kind}"


def _one_seed(result, name, split, architecture, build, num_train, epochs, sparsities, seed):
    """Dense training, then every arm from there; returns the largest difference of sparsities."""
    ((x, y),) = take(split, seed, num_train)
    start(seed)
    dense = compile_classifier(build())
    dense.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    weights = dense.get_weights()
    rng = np.random.default_rng([seed, 7])
    order = np.concatenate([rng.permutation(num_train) for _ in range(EPOCHS)])
    end_step = 2 * num_train // BATCH
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        job = pathlib.Path(directory) / "job.npz"
        arrays = {f"weight{index}": array for index, array in enumerate(weights)}
        np.savez(
            job,
            x=x,
            y=y,
            x_test=split.x_test,
            y_test=split.y_test,
            order=order,
            architecture=architecture,
            num_weights=len(weights),
            sparsities=np.array(sparsities),
            end_step=end_step,
            frequency=FREQUENCY,
            batch=BATCH,
            **arrays,
        )
        for row in run_process("train", str(job)):
            result.append(_arm(name, row["sparsity"], THEIRS), ACCURACY, row["accuracy"])
            found[row["sparsity"]] = row["zeros"]
    worst = 0.0
    for sparsity in sparsities:
        for kind, scope in SCOPES.items():
            start(seed)
            model = compile_classifier(build())
            model.set_weights(weights)
            schedule = PolynomialDecay(0.0, sparsity, end_step=end_step)
            pruning = MagnitudePruning(schedule, scope=scope, frequency=FREQUENCY, min_keep=0.0)
            model.fit(
                x[order], y[order], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[pruning]
            )
            test = accuracy(model, split.x_test, split.y_test)
            result.append(_arm(name, sparsity, kind), ACCURACY, test)
            worst = max(worst, abs(zero_share(model) - found[sparsity]))
    return worst
