"""Two trainings have no barrier between them once their channels are lined up.

Claim: On the straight line between two networks trained from different starts the loss rises far
above its ends. Permuting the hidden channels of one of them, which changes nothing of what it
computes, takes most of the barrier away, with the weights alone or with activations, for dense
networks and for convolutions with batch normalization; the wider the network, the less is left.

Paper: Ainsworth et al., "Git Re-Basin: Merging Models modulo Permutation Symmetries", ICLR 2023,
arXiv 2209.04836; Ito et al., "Analysis of Linear Mode Connectivity via Permutation-Based Weight
Matching", ICLR 2025, arXiv 2402.04051; Jordan et al., "REPAIR", ICLR 2023, arXiv 2211.08403.

Setting: MNIST, 6000 images, Adam 0.001, batches of 64; two networks of different starts and orders
of the images for each seed. Dense: 784-w-w-10, 5 epochs; convolutions: 32, 64, 64 filters, each
followed by batch normalization, 3 epochs. Cross-entropy and accuracy on 2000 test images at 11
points of the line; statistics of batch normalization estimated anew at each point on 1000 training
images (in `statistics averaged` they are interpolated like weights). Activations: 500 training
images. Alignment and distance are those of `alignment_report`. Three networks of width 128 are
merged by `merge_many`, or by the mean of their weights.

Criterion: The barrier after weight matching is at most 1/4 of that before, for dense networks of
width 128 and for convolutions; after activation matching at most 1/3. It falls with every step in
width. Permuting changes no output by more than 1e-4.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

import keras_reweight as kr
from evidence.data import NUM_CLASSES, take
from evidence.result import Result
from evidence.training import EVALUATION_BATCH, accuracy, compile_classifier, mlp, start
from keras_reweight.matching import (
    alignment_report,
    interpolation_curve,
    match_activations,
    match_weights,
    merge_many,
    permute,
)

SEEDS = 3
WIDTHS = (32, 128, 512)
MERGED = 128
BARRIER, MIDDLE = "barrier of the loss", "accuracy % in the middle"
AS_IT_IS, BY_WEIGHTS, BY_ACTIVATIONS = "as they are", "weights matched", "activations matched"
CONVOLUTIONS = "convolutions"
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def convolutions() -> keras.Model:
    stack = [keras.Input((28, 28, 1))]
    for filters, strides in ((32, 2), (64, 2), (64, 1)):
        stack += [
            layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
        ]
    return keras.Sequential([*stack, layers.GlobalAveragePooling2D(), layers.Dense(NUM_CLASSES)])


def run(data, seeds, quick) -> Result:
    result = Result()
    sizes = (1_500, 1) if quick else (6_000, 5)
    widths = WIDTHS[:2] if quick else WIDTHS
    changes = []
    for seed in seeds:
        for width in widths:
            changes.append(_dense(result, data.mnist, *sizes, width, seed))
        changes.append(_convolutions(result, data.mnist, sizes[0], min(sizes[1], 3), seed))

    def barrier(network, way):
        return result.center(f"{network}, {way}", BARRIER)

    for network in (_name(MERGED), CONVOLUTIONS):
        before = barrier(network, AS_IT_IS)
        for way, limit in ((BY_WEIGHTS, 1 / 4), (BY_ACTIVATIONS, 1 / 3)):
            text = f"{network}: barrier with {way} over that before"
            result.at_most(text, barrier(network, way) / before, limit)
    for narrow, wide in zip(widths, widths[1:], strict=False):
        text = f"barrier with weights matched, width {wide} over width {narrow}"
        ratio = barrier(_name(wide), BY_WEIGHTS) / barrier(_name(narrow), BY_WEIGHTS)
        result.at_most(text, ratio, 1.0)
    result.at_most("largest change of an output by permuting", max(changes), 1e-4)
    return result


def _name(width):
    return f"dense, width {width}"


def _dense(result, split, num_train, epochs, width, seed):
    ((x, y),) = take(split, seed, num_train)
    count = 3 if width == MERGED else 2
    models = [
        _trained(lambda: mlp((width, width)), x, y, epochs, 10 * seed + number)
        for number in range(count)
    ]
    if width == MERGED:
        _merge(result, split, models)
    return _pair(result, split, models[:2], _name(width), x, None)


def _convolutions(result, split, num_train, epochs, seed):
    ((x, y),) = take(split, seed, num_train)
    models = [_trained(convolutions, x, y, epochs, 10 * seed + number) for number in range(2)]
    matching = match_weights(*models)
    with permute(models[1], matching).patched(models[1]):
        halves = [
            (first + second) / 2
            for first, second in zip(*(model.get_weights() for model in models), strict=True)
        ]
    mean = convolutions()
    mean.set_weights(halves)
    arm = f"{CONVOLUTIONS}, {BY_WEIGHTS}, statistics averaged"
    result.append(arm, MIDDLE, accuracy(mean, split.x_test[:2000], split.y_test[:2000]))
    return _pair(result, split, models, CONVOLUTIONS, x, x[:1000])


def _trained(build, x, y, epochs, seed):
    start(seed)
    model = compile_classifier(build())
    model.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return model


def _pair(result, split, models, network, x, statistics):
    """Measure the line between two models in three ways; the largest change by permuting."""
    test = split.x_test[:2000], split.y_test[:2000]
    ways = {
        AS_IT_IS: None,
        BY_WEIGHTS: match_weights(*models),
        BY_ACTIVATIONS: match_activations(*models, x[:500]),
    }
    options = {"batch_norm_data": statistics, "batch_size": EVALUATION_BATCH}
    logits = models[1].predict(test[0], batch_size=EVALUATION_BATCH, verbose=0)
    for model in models:
        result.append(f"{network}, the ends", MIDDLE, accuracy(model, *test))
    change = 0.0
    for way, matching in ways.items():
        arm = f"{network}, {way}"
        curve = interpolation_curve(*models, test, matching, loss=LOSS, **options)
        errors = interpolation_curve(*models, test, matching, points=3, **options)
        report = alignment_report(*models, matching)
        result.append(arm, BARRIER, curve.barrier)
        result.append(arm, MIDDLE, 100.0 * (1.0 - errors.values[1]))
        result.append(arm, "alignment", report.mean)
        result.append(arm, "distance", report.distance)
        if matching is not None:
            with permute(models[1], matching).patched(models[1]):
                moved = models[1].predict(test[0], batch_size=EVALUATION_BATCH, verbose=0)
            change = max(change, float(np.abs(moved - logits).max()))
    return change


def _merge(result, split, models):
    test = split.x_test[:2000], split.y_test[:2000]
    mean = kr.Patch.from_deltas(
        models[0],
        [
            (weight, sum(others) / len(models) - others[0])
            for weight, *others in zip(
                models[0].weights, *(model.get_weights() for model in models), strict=True
            )
        ],
        name="mean",
    )
    for arm, patch in (("mean of the weights", mean), ("merge_many", merge_many(models))):
        with patch.patched(models[0]):
            result.append(f"three of width {MERGED}, {arm}", MIDDLE, accuracy(models[0], *test))
