"""Weights alone tell where a change lives, and whether filters and kernels were trained.

Claim: What fine-tuning changes says what it was for: corrupted images move the first layers most,
other labels the last. Filters of trained convolutions are more alike than random ones, and the
spectra of trained kernels stick out of the noise, the more the longer they were trained.

Paper: "T-VEC: A Telecom-Specific Vectorization Model with Enhanced Semantic Understanding via Deep
Triplet Loss Fine-Tuning", arXiv 2504.16460, for the differences; Gavrikov and Keuper, "CNN Filter
DB", CVPR 2022, arXiv 2203.15331, for filters; Martin and Mahoney, "Implicit Self-Regularization in
Deep Neural Networks", JMLR 22, 2021, arXiv 1810.01075, for spectra.

Setting: MNIST and the network of the signatures (four convolutions, two dense layers) after 2
epochs on 6000 images. From it, 3 epochs on 8000 others: with a quarter of the contrast, with
Gaussian noise of 0.6, and with the labels in another order. Relative change: norm of the change of
a layer by the norm of the layer. CIFAR, three convolutions of 32, 64 and 64 filters of 3x3 and two
dense layers (64 units in between): after 0, 2 and 12 epochs on 8000 images, and after 120 epochs on
800 of them (as many steps, learned by heart).

Criterion: For contrast and noise the rank correlation between depth and relative change over the
six layers is at most -0.6, and the last layer moves most for other labels. Mean normalized entropy
of the convolutions at least 0.03 lower after 12 epochs than at the start, and the mean
Marchenko-Pastur rank of all kernels falls from the start to 2 and to 12 epochs.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from evidence.data import NUM_CLASSES, add_noise, take
from evidence.result import Result
from evidence.signature import build
from evidence.training import accuracy, compile_classifier, start
from keras_reweight import WeightSnapshot
from keras_reweight.analysis import filter_quality, spectral_report, weight_report

SEEDS = 3
LAYERS = [f"change of layer {number}" for number in range(1, 7)]
RANKED = "rank correlation of depth and change"
ENTROPY, SPARSE, ALPHA, SOFT, TEST = (
    "normalized entropy of filters",
    "sparse filters %",
    "alpha (square windows)",
    "Marchenko-Pastur rank",
    "test accuracy %",
)
CONTRAST, NOISE, LABELS = "contrast 0.25", "noise 0.6", "other labels"
FRESH, EARLY, TRAINED, BY_HEART = "start", "2 epochs", "12 epochs", "120 epochs on a tenth"


def run(data, seeds, quick) -> Result:
    result = Result()
    for seed in seeds:
        _differences(result, data.mnist, seed, quick)
        _training(result, data.cifar, seed, quick)
    for arm in (CONTRAST, NOISE):
        result.at_most(f"{arm}: {RANKED}", result.center(arm, RANKED), -0.6)
    moved = [result.center(LABELS, name) for name in LAYERS]
    result.at_least(f"{LABELS}: layer that moves most", 1 + int(np.argmax(moved)), 6)
    result.at_least(
        f"{ENTROPY}, start minus 12 epochs",
        result.center(FRESH, ENTROPY) - result.center(TRAINED, ENTROPY),
        0.03,
    )
    soft = [result.center(arm, SOFT) for arm in (FRESH, EARLY, TRAINED)]
    result.at_most(f"{SOFT}, 2 epochs by start", soft[1] / soft[0], 1.0)
    result.at_most(f"{SOFT}, 12 epochs by 2 epochs", soft[2] / soft[1], 1.0)
    return result


def _differences(result, split, seed, quick):
    sizes = (1_000, 1_000) if quick else (6_000, 8_000)
    (x_first, y_first), (x, y) = take(split, seed, *sizes)
    start(seed)
    first = _fit(build(), x_first, y_first, 2)
    before = WeightSnapshot(first)
    order = np.random.default_rng([seed, 5]).permutation(NUM_CLASSES).astype("int32")
    for arm, images, labels in (
        (CONTRAST, 0.5 + 0.25 * (x - 0.5), y),
        (NOISE, add_noise(x, 0.6, seed), y),
        (LABELS, x, order[y]),
    ):
        start(seed)
        model = build()
        before.restore(model)
        _fit(model, images, labels, 3)
        moved = [row.relative for row in weight_report(before, model).layers]
        for name, value in zip(LAYERS, moved, strict=True):
            result.append(arm, name, value)
        result.append(arm, RANKED, _spearman(moved))


def _training(result, split, seed, quick):
    size = 1_000 if quick else 8_000
    ((x, y),) = take(split, seed, size)
    part = slice(size // 10)
    for arm, epochs, images, labels in (
        (FRESH, 0, x, y),
        (EARLY, 2, x, y),
        (TRAINED, 12, x, y),
        (BY_HEART, 20 if quick else 120, x[part], y[part]),
    ):
        start(seed)
        model = compile_classifier(_network())
        if epochs:
            model.fit(images, labels, batch_size=64, epochs=epochs, verbose=0)
        filters, spectra = filter_quality(model), spectral_report(model)
        result.append(arm, ENTROPY, filters.mean("normalized_entropy"))
        result.append(arm, SPARSE, 100.0 * filters.mean("sparsity"))
        result.append(arm, ALPHA, spectra.summary()["farms_alpha"])
        result.append(arm, SOFT, spectra.summary()["mp_softrank"])
        result.append(arm, TEST, accuracy(model, split.x_test, split.y_test))


def _fit(model, x, y, epochs):
    model.compile(
        keras.optimizers.SGD(0.02, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def _network() -> keras.Model:
    stack = [keras.Input((32, 32, 3))]
    for filters in (32, 64, 64):
        stack.append(layers.Conv2D(filters, 3, strides=2, padding="same", activation="relu"))
    return keras.Sequential(
        [*stack, layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(NUM_CLASSES)]
    )


def _spearman(values):
    ranks = np.argsort(np.argsort(values))
    return float(np.corrcoef(np.arange(len(values)), ranks)[0, 1])
