"""What criteria with gradients add to magnitude when a trained network is pruned.

Claim: Taylor expansions and the Fisher information see which weights of a trained network can go
better than magnitudes do, as long as nothing is trained afterwards; after fine-tuning little of it
is left. Where a pretrained network is fine-tuned for another task, movement is better than
magnitude at high sparsity.

Paper: Molchanov et al., CVPR 2019, arXiv 1906.10771 (Taylor); LeCun et al., "Optimal Brain Damage",
NeurIPS 1989; Sanh et al., "Movement Pruning", NeurIPS 2020, arXiv 2005.07683.

Setting: MNIST: 784-128-128-10 network, 5120 images, 5 epochs dense. CIFAR: three strided
convolutions and a dense layer of 128, 3200 images, 8 epochs. Adam 0.001, batches of 64. All weights
are ranked together, pruned once, and fine-tuned for 3 epochs under `KeepSparsity`; Taylor and
Optimal Brain Damage see 640 training images, the latter sample by sample; "in rounds" scores ten
times on the way. Movement: the MNIST
network, trained on upright images, is fine-tuned on images turned by a quarter for 5 epochs while a
cubic schedule prunes it over the first 4, every layer by itself, by movement or by magnitude.

Criterion: At 90 % on both, Taylor and Optimal Brain Damage are at least one point better than
magnitude before fine-tuning, and within one point of it or better afterwards; at 98 % of the turned
images, movement is at least as good as magnitude.
"""

from __future__ import annotations

import numpy as np

from evidence.data import take
from evidence.result import Result
from evidence.training import accuracy, cnn, compile_classifier, mlp, start
from keras_compress.callbacks import KeepSparsity, Pruning
from keras_compress.pruning import (
    Magnitude,
    Movement,
    OptimalBrainDamage,
    RandomScores,
    Taylor,
    UniformAllocation,
    prune_iteratively,
)
from keras_compress.schedules import PolynomialDecay

SEEDS = 3
BATCH = 64
SPARSITIES = (0.8, 0.9, 0.95)
TURNED = (0.9, 0.95, 0.98)
BEFORE, ACCURACY = "before fine-tuning %", "test accuracy %"


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((128, 128)), 5_120, 5),
        ("CIFAR", data.cifar, lambda: cnn(hidden=128), 3_200, 8),
    ):
        num_train, epochs = (640, 1) if quick else (num_train, epochs)
        for seed in seeds:
            _one_seed(result, name, split, build, num_train, epochs, seed)
    for name in ("MNIST", "CIFAR"):
        for kind in ("Taylor", "OBD"):
            for metric, limit in ((BEFORE, 1.0), (ACCURACY, -1.0)):
                gain = result.center(f"{name}, 90 % {kind}", metric) - result.center(
                    f"{name}, 90 % magnitude", metric
                )
                when = "before" if metric == BEFORE else "after"
                text = f"{kind} minus magnitude at 90 % {when} fine-tuning on {name}, in points"
                result.at_least(text, gain, limit)
    gain = result.center("turned MNIST, 98 % movement", ACCURACY) - result.center(
        "turned MNIST, 98 % magnitude", ACCURACY
    )
    result.at_least("movement minus magnitude at 98 % on turned MNIST, in points", gain, 0.0)
    return result


def _one_seed(result, name, split, build, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    few = (x[:640], y[:640])

    def fit(model, epochs, images, *callbacks):
        callbacks = list(callbacks)
        model.fit(images, y, batch_size=BATCH, epochs=epochs, callbacks=callbacks, verbose=0)

    start(seed)
    dense = compile_classifier(build())
    fit(dense, epochs, x)
    weights = dense.get_weights()
    result.append(f"{name}, dense", ACCURACY, accuracy(dense, split.x_test, split.y_test))

    def fresh():
        start(seed)
        model = build()
        model.set_weights(weights)
        return compile_classifier(model)

    for sparsity in SPARSITIES:
        for kind, criterion, rounds in (
            ("random", RandomScores(seed), 1),
            ("magnitude", Magnitude(), 1),
            ("Taylor", Taylor(few), 1),
            ("OBD", OptimalBrainDamage(few), 1),
            ("Taylor in rounds", Taylor(few), 10),
        ):
            arm = f"{name}, {100 * sparsity:g} % {kind}"
            model = fresh()
            prune_iteratively(model, sparsity, criterion=criterion, rounds=rounds)
            result.append(arm, BEFORE, accuracy(model, split.x_test, split.y_test))
            fit(model, 3, x, KeepSparsity())
            result.append(arm, ACCURACY, accuracy(model, split.x_test, split.y_test))
    if name != "MNIST":
        return
    turned, turned_test = (np.rot90(part, axes=(1, 2)).copy() for part in (x, split.x_test))
    for sparsity in TURNED:
        for kind, criterion in (("magnitude", Magnitude()), ("movement", Movement())):
            model = fresh()
            schedule = PolynomialDecay(0.0, sparsity, end_step=4 * num_train // BATCH)
            pruning = Pruning(
                schedule,
                criterion=criterion,
                allocation=UniformAllocation(),
                begin_step=min(40, num_train // BATCH),
                frequency=20,
            )
            fit(model, 5, turned, pruning)
            arm = f"turned MNIST, {100 * sparsity:g} % {kind}"
            result.append(arm, ACCURACY, accuracy(model, turned_test, split.y_test))
