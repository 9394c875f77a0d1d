"""Half of the channels, chosen by importance, and an epoch of training.

Claim: A network that loses whole channels needs a fraction of the multiplications, and keeps more
of its accuracy if magnitudes or the loss choose the channels than if chance does, both at once and
after a little training.

Paper: Fang et al., "DepGraph: Towards Any Structural Pruning", arXiv 2301.12900; Molchanov et al.,
"Importance Estimation for Neural Network Pruning", arXiv 1906.10771; Lee et al., arXiv 2010.07611.

Setting: The networks of the claim on calibrated pruning: MNIST, 784-256-256-10, 10240 images, 4
epochs; CIFAR, a residual network with batch normalization, 3200 images, 8 epochs. 25 % and 50 % of
the channels go, from every group alike (local) or from all that compete (global). Taylor looks at
512 labelled training images. Then one epoch of fine-tuning, the dense network included. Before each
measurement, the dense one included, the moving statistics of batch normalizations are computed anew
from 512 images: an epoch is too short for them to settle.

Criterion: At 50 % of CIFAR at most a third of the multiply-accumulates is left, Taylor is at least
two points above random before fine-tuning, and magnitude at least two points above random after it.
At 25 %, the better of magnitude and Taylor loses at most two points against the dense network after
fine-tuning, on both.
"""

from __future__ import annotations

import keras

from evidence._structured import accuracy_of, logits, residual_cnn, train
from evidence.data import take
from evidence.result import Result
from evidence.training import mlp, start
from keras_compress.analysis import count_macs
from keras_compress.structured import (
    GroupLAMP,
    GroupMagnitude,
    GroupTaylor,
    RandomImportance,
    prune_structured,
    recalibrate_batch_norm,
)

SEEDS = 3
LABELED = 512
BEFORE, TUNED = "at once %", "after one epoch %"
MACS, SIZE = "MACs %", "parameters %"
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def run(data, seeds, quick) -> Result:
    result = Result()
    for name, split, build, num_train, epochs in (
        ("MNIST", data.mnist, lambda: mlp((256, 256)), 10_240, 4),
        ("CIFAR", data.cifar, residual_cnn, 3_200, 8),
    ):
        num_train, epochs = (1_920, 1) if quick else (num_train, epochs)
        for seed in seeds:
            _one_seed(result, name, split, build, num_train, epochs, seed)
    _judge(result)
    return result


def _judge(result):
    result.at_most(
        "MACs left at 50 % on CIFAR, in percent",
        result.center("CIFAR, 50 % magnitude", MACS),
        100 / 3,
    )
    for kind, metric in (("Taylor", BEFORE), ("magnitude", TUNED)):
        result.at_least(
            f"{kind} minus random at 50 % on CIFAR, {metric.removesuffix(' %')}, in points",
            result.center(f"CIFAR, 50 % {kind}", metric)
            - result.center("CIFAR, 50 % random", metric),
            2.0,
        )
    for name in ("MNIST", "CIFAR"):
        best = max(result.center(f"{name}, 25 % {kind}", TUNED) for kind in ("magnitude", "Taylor"))
        result.at_least(
            f"the better at 25 % minus dense on {name}, after one epoch, in points",
            best - result.center(f"{name}, dense", TUNED),
            -2.0,
        )
    bare = {
        kind: result.center(f"MNIST, 50 % {kind}", BEFORE)
        for kind in ("random", "magnitude", "Taylor")
    }
    result.notes.append(
        "No criterion, but worth knowing: without any training, half of the units of the MNIST "
        f"network chosen at random leave {bare['random']:.1f} %, by magnitude "
        f"{bare['magnitude']:.1f} %, by Taylor {bare['Taylor']:.1f} %. Taylor looked at samples of "
        "the training set, which the network fits."
    )


def _one_seed(result, name, split, build, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    start(seed)
    dense = build()
    train(dense, x, y, epochs)
    macs = count_macs(dense).macs

    def settle(model):
        if any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers):
            recalibrate_batch_norm(model, x[:LABELED])

    def accuracy(model):
        settle(model)
        return accuracy_of(logits(model, split.x_test), split.y_test)

    # Taylor looks at gradients of the network as it predicts.
    settle(dense)

    def measure(arm, model):
        result.append(arm, BEFORE, accuracy(model))
        result.append(arm, MACS, 100.0 * count_macs(model).macs / macs)
        result.append(arm, SIZE, 100.0 * model.count_params() / dense.count_params())
        keras.utils.set_random_seed(seed)
        train(model, x, y, 1)
        result.append(arm, TUNED, accuracy(model))

    kinds = {
        "random": (RandomImportance(seed), "local"),
        "magnitude": (GroupMagnitude(), "local"),
        "Taylor": (GroupTaylor((x[:LABELED], y[:LABELED]), loss=LOSS, batch_size=128), "local"),
    }
    competing = {
        "magnitude, global": (GroupMagnitude(), "global"),
        "LAMP, global": (GroupLAMP(), "global"),
    }
    for ratio, arms in ((0.25, kinds), (0.5, kinds | competing)):
        for kind, (importance, scope) in arms.items():
            model = prune_structured(dense, ratio, importance=importance, scope=scope)
            measure(f"{name}, {100 * ratio:.0f} % {kind}", model)
    measure(f"{name}, dense", dense)
